"""The published relation (Banjac et al. 2021): a twin network that predicts distances d_q.

Both images of a pair go through the same convolutions; the angle between their features is the
predicted distance. Trained on images of the very molecule, with its orientations known, as
published; `pairs.network` is trained on other molecules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from cryospin.pairs.distances import distances_between, feature_distance, unit
from cryospin.particles.draws import generator_for
from cryospin.rotations.in_plane import turned_images, view_turns

LAYERS = ((7, 32), (5, 64), (3, 128), (3, 256), (3, 256), (3, 512), (3, 512))
"""Size and channels of each convolution; a ReLU and a halving by maxima follow each."""
_CLOSE = 0.15  # radians
_BATCH = 100


class TwinNetwork(nn.Module):
    """(n, d, d) to (n, 512). Below 128 pixels the last halvings fall away."""

    def __init__(self, side: int, generator: torch.Generator):
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for size, width in LAYERS:
            convolution = nn.Conv2d(channels, width, size, padding=size // 2)
            nn.init.kaiming_normal_(convolution.weight, generator=generator)
            assert convolution.bias is not None
            nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.ReLU()]
            if side > 1:
                layers.append(nn.MaxPool2d(2))
                side //= 2
            channels = width
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Float[Tensor, "n d d"]) -> Float[Tensor, "n f"]:
        deviation = images.std(dim=(1, 2), keepdim=True).clamp_min(1e-6)
        return self.layers((images / deviation)[:, None]).mean(dim=(2, 3))


@dataclass(frozen=True)
class TwinTraining:
    """images: of a step, which learns from all their pairs, weighed as if their distances were
    uniform in [0, pi]. rate: reached within the first steps, then falling to 0 as a cosine.

    Each image is turned in its plane by a random angle, and its orientation with it.
    """

    steps: int = 6000
    images: int = 128
    rate: float = 1e-3

    def run(
        self,
        images: Float[Tensor, "n d d"],
        rotations: Float[Tensor, "n 3 3"],
        seed: int,
        report: Callable[[int, float], None] = lambda step, loss: None,
    ) -> TwinNetwork:
        """Least squares of predicted less actual distances."""
        rng = generator_for(seed, "twin training")
        network = TwinNetwork(images.shape[-1], torch.Generator().manual_seed(seed))
        optimiser = torch.optim.Adam(network.parameters(), lr=self.rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=self.rate, total_steps=self.steps, pct_start=0.05
        )
        count = min(self.images, len(images))
        one, other = torch.triu_indices(count, count, 1)
        for step in range(self.steps):
            rows = torch.as_tensor(rng.choice(len(images), count, replace=False))
            turns = view_turns(torch.as_tensor(rng.uniform(0.0, 2 * np.pi, count)))
            seen = turned_images(images[rows], turns.to(images.dtype), "bicubic")
            actual = distances_between(turns @ rotations[rows].double())[one, other].float()
            features = network(seen)
            found = feature_distance(features[one], features[other])
            weight = evenly_weighed(actual)
            loss = (weight * (found - actual).square()).sum() / weight.sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            report(step + 1, loss.item())
        return network.eval().requires_grad_(False)


def evenly_weighed(distances: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
    """Weights under which distances of random pairs are uniform over [0, pi].

    Random orientations are seldom close: the density of d_q is (1 - cos d) / pi. Those closer
    than some degrees are too few to be made even.
    """
    return 1.0 / (1.0 - distances.clamp_min(_CLOSE).cos())


def predicted_distances(
    network: TwinNetwork, images: Float[Tensor, "n d d"]
) -> Float[Tensor, "n n"]:
    """Of all pairs."""
    with torch.no_grad():
        parts = [network(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)]
    features = unit(torch.cat(parts).double())
    chord = (2.0 - 2.0 * (features @ features.T)).clamp(0.0, 2.0).sqrt()
    return 4.0 * torch.asin(0.5 * chord)
