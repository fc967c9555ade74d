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
from jaxtyping import Float, Int
from torch import Tensor, nn

from cryospin.pairs.distances import distances_between, feature_distance, unit
from cryospin.particles.draws import generator_for

LAYERS = ((7, 32), (5, 64), (3, 128), (3, 256), (3, 256), (3, 512), (3, 512))
"""Size and channels of each convolution; a ReLU and a halving by maxima follow each."""
_BINS = 60
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
    """pairs: of a step, drawn so that their distances are uniform in [0, pi]."""

    steps: int = 2000
    pairs: int = 64
    rate: float = 1e-4

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
        distances = distances_between(rotations.double())
        for step in range(self.steps):
            one, other = even_pairs(distances, self.pairs, rng)
            features = network(images[torch.cat([one, other])])
            found = feature_distance(features[: self.pairs], features[self.pairs :])
            loss = (found - distances[one, other].float()).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            report(step + 1, loss.item())
        return network.eval().requires_grad_(False)


def even_pairs(
    distances: Float[Tensor, "n n"], count: int, rng: np.random.Generator
) -> tuple[Int[Tensor, " p"], Int[Tensor, " p"]]:
    """Pairs of different images, their distances uniform over [0, pi].

    Random orientations are seldom close: the density of d_q is (1 - cos d) / pi. Candidates are
    kept with the inverse of how many there are of their kind.
    """
    n = len(distances)
    tries = max(4096, 64 * count)
    one = torch.as_tensor(rng.integers(0, n, tries))
    other = (one + torch.as_tensor(rng.integers(1, n, tries))) % n
    kind = (distances[one, other] * (_BINS / np.pi)).long().clamp_max(_BINS - 1)
    population = torch.bincount(kind, minlength=_BINS).double()
    weight = (1.0 / population)[kind].numpy()
    drawn = torch.as_tensor(rng.choice(tries, count, p=weight / weight.sum()))
    return one[drawn], other[drawn]


def predicted_distances(
    network: TwinNetwork, images: Float[Tensor, "n d d"]
) -> Float[Tensor, "n n"]:
    """Of all pairs."""
    with torch.no_grad():
        parts = [network(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)]
    features = unit(torch.cat(parts).double())
    chord = (2.0 - 2.0 * (features @ features.T)).clamp(0.0, 2.0).sqrt()
    return 4.0 * torch.asin(0.5 * chord)
