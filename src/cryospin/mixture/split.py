"""Classes at poses that stay as they are: the images of one consensus told apart.

EM over the classes alone. Without a search over poses an iteration costs next to nothing, and
from any random split the same classes come out; structures that share most of their mass are told
apart far better than by a search for poses and classes at once (docs/mixtures.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.explore.patience import balanced
from cryospin.explore.setting import Setting
from cryospin.mixture.classed_half import ClassedHalf, class_losses, class_weights
from cryospin.particles.spectrum import prior_precision
from cryospin.refine.halves import HalfSet

_STARVED = 0.05  # of the images a class has on average
_EVENINGS = 100  # steps to an even prior


@dataclass(frozen=True)
class ClassSplit:
    """Hyper-parameters.

    radii: Fourier pixels, one after the other, each for so many `iterations`.
    starts: random splits that begin; the one that explains the images best at the first radius
        goes on. spread: by which their maps, all but equal, are drawn apart.
    over_relaxation: an iteration's step, in steps of EM.
    """

    radii: tuple[float, ...] = (8.0, 10.0, 12.0)
    iterations: int = 20
    starts: int = 2
    spread: float = 3.0
    over_relaxation: float = 1.8

    def run(
        self,
        half: HalfSet,
        classes: int,
        setting: Setting,
        rng: np.random.Generator,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> ClassedHalf:
        """The half-set in classes, all at the poses it has."""
        total = (self.starts + len(self.radii) - 1) * self.iterations
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            progress(done, total)

        begun = []
        for _ in range(self.starts):
            drawn = torch.as_tensor(rng.random((len(half.particles), classes))).float()
            weights = (drawn / drawn.sum(dim=1, keepdim=True)).to(half.particles.device)
            first = ClassedHalf((half,) * classes, weights)
            begun.append(self.settle(first, self.radii[0], setting, step, self.spread))
        found = max(begun, key=lambda each: each[1])[0]
        for radius in self.radii[1:]:
            found, _ = self.settle(found, radius, setting, step)
        return found

    def settle(
        self,
        classed: ClassedHalf,
        radius: float,
        setting: Setting,
        step: Callable[[], None] = lambda: None,
        spread: float = 1.0,
        hold: float = 0.0,
    ) -> tuple[ClassedHalf, float]:
        """All iterations within one radius, and the mean log evidence of an image then.

        hold: nats that a class is given before others, at most, so that each gets as many images:
            the map of a weak one, whose images have poor poses as yet, explains even these worse.
        """
        particles, count = classed.particles, classed.classes
        radius = min(radius, particles.disk.radius)
        precision = prior_precision(particles)
        densities: list[Tensor] = []
        losses = torch.zeros_like(classed.weights)
        for _ in range(self.iterations):
            newer = classed.densities(radius, setting, precision)
            old = densities or newer
            rate = self.over_relaxation
            densities = [torch.lerp(a, b, rate) for a, b in zip(old, newer, strict=True)]
            if spread != 1.0 and old is newer:
                mean = sum(newer[1:], newer[0]) / count
                densities = [torch.lerp(mean, each, spread) for each in newer]
            losses = class_losses(classed.sets, densities, radius)
            weights = reseeded(class_weights(-losses, evened(-losses, hold)))
            classed = ClassedHalf(classed.sets, weights)
            step()
        return classed, float(torch.logsumexp(-losses, dim=1).mean())


def evened(log_likelihoods: Float[Tensor, "n c"], hold: float) -> Float[Tensor, " c"]:
    """The prior under which classes come nearest to as many images each; of two classes it gives
    none more than `hold` nats before the other."""
    count = log_likelihoods.shape[1]
    prior = torch.full((count,), 1 / count, device=log_likelihoods.device)
    for _ in range(_EVENINGS if hold else 0):
        prior = balanced(prior, class_weights(log_likelihoods, prior).mean(dim=0))
        prior = prior.clamp_min(float(prior.max()) * math.exp(-hold))
    return prior


def reseeded(weights: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """A class that has next to no images gets every other one of the class that has most."""
    total = weights.sum(dim=0)
    starved = total < _STARVED * total.mean()
    if not bool(starved.any()):
        return weights
    poor, rich = int(total.argmin()), int(total.argmax())
    shared = weights.clone()
    shared[::2, poor] += shared[::2, rich]
    shared[::2, rich] = 0.0
    return shared
