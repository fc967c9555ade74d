"""Orientations from distances between them, as published (Banjac et al. 2021, arXiv 2104.06237).

d_q = 2 arccos|<q_i, q_j>| is the angle of the rotation between two orientations, in [0, pi]; q
and -q are one orientation. Distances are unchanged under q -> a q b *and* under q -> conjugate,
the whole of O(4), while images leave open only the rotation on the right and the hand: what is
recovered here is not yet a set of poses. `pairs.synchronise` is where poses come from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.particles.draws import generator_for

_SMALL = 1e-30


def quaternion_distance(
    first: Float[Tensor, "*n 4"], second: Float[Tensor, "*n 4"]
) -> Float[Tensor, "*n"]:
    """d_q of unit quaternions, from the chord to the nearer of q and -q.

    arccos has no gradient at distance 0; the chord's is a unit vector anywhere, taken as 0 at
    distance 0 and as one of its two sides at pi.
    """
    same_side = (first * second).sum(dim=-1, keepdim=True).detach() >= 0
    return 4.0 * torch.asin(0.5 * safe_norm(first - torch.where(same_side, second, -second)))


def feature_distance(
    first: Float[Tensor, "*n f"], second: Float[Tensor, "*n f"]
) -> Float[Tensor, "*n"]:
    """d_f = 2 arccos of the cosine between features, clipped to [0, 1]; in [0, pi]."""
    one, other = (unit(features) for features in (first, second))
    chord = safe_norm(one - other)
    return 4.0 * torch.asin(0.5 * chord.clamp_max(2.0**0.5))


def unit(features: Float[Tensor, "*n f"]) -> Float[Tensor, "*n f"]:
    return torch.nn.functional.normalize(features, dim=-1)


def safe_norm(vectors: Float[Tensor, "*n f"]) -> Float[Tensor, "*n"]:
    """The length, of gradient 0 where it is 0."""
    squared = vectors.square().sum(dim=-1)
    positive = squared > _SMALL
    return torch.where(positive, torch.where(positive, squared, 1.0).sqrt(), 0.0)


@dataclass(frozen=True)
class DistanceRecovery:
    """Orientations whose distances are as given, by Adam on sampled pairs.

    starts: at random; the end whose distances are nearest to those given counts, for many are
    local minima. partners: of each image in a step, drawn anew. The rate falls to 0 as a cosine.
    """

    starts: int = 8
    steps: int = 1500
    rate: float = 0.1
    partners: int = 16

    def run(self, distances: Float[Tensor, "n n"], seed: int) -> Float[Tensor, "n 4"]:
        """Unit quaternions, up to O(4): mean square of predicted less actual distances."""
        rng = generator_for(seed, "distance recovery")
        ends = [self._one(distances, rng) for _ in range(self.starts)]
        return min(ends, key=lambda end: float((_of_all_pairs(end) - distances).square().mean()))

    def _one(
        self, distances: Float[Tensor, "n n"], rng: np.random.Generator
    ) -> Float[Tensor, "n 4"]:
        count = len(distances)
        start = torch.as_tensor(rng.standard_normal((count, 4)), dtype=distances.dtype)
        free = unit(start).requires_grad_()
        optimiser = torch.optim.Adam([free], lr=self.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        own = torch.arange(count)[:, None]
        for _ in range(self.steps):
            # never an image with itself
            step = torch.as_tensor(rng.integers(1, count, (count, self.partners)))
            other = (own + step) % count
            turned = unit(free)
            found = quaternion_distance(
                turned[:, None].expand(-1, self.partners, -1), turned[other]
            )
            loss = (found - distances[own, other]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        return unit(free).detach()


def error_modulo_distances_degrees(
    found: Float[Tensor, "n 4"], true: Float[Tensor, "n 4"]
) -> Float[Tensor, " n"]:
    """What is left of d_q after the best element of O(4), as the paper measures. Deterministic.

    Signs first: <q_i, q_j> of both sets agree up to signs s_i s_j, the leading eigenvector of
    their elementwise product; then the nearest orthogonal matrix.
    """
    found, true = found.double(), true.double()
    signs = torch.linalg.eigh((found @ found.T) * (true @ true.T))[1][:, -1].sign()
    left, _, right = torch.linalg.svd((signs[:, None] * found).T @ true)
    return torch.rad2deg(quaternion_distance(found @ (left @ right), true))


def distances_between(rotations: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n n"]:
    """d_q of all pairs."""
    return _of_all_pairs(roma.rotmat_to_unitquat(rotations))


def _of_all_pairs(quaternions: Float[Tensor, "n 4"]) -> Float[Tensor, "n n"]:
    count = len(quaternions)
    one = quaternions[:, None].expand(-1, count, -1)
    return quaternion_distance(one, quaternions[None].expand(count, -1, -1))
