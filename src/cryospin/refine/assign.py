"""A pose for every particle from a map: exhaustive peaks, each polished, the best kept.

The grid finds the neighbourhoods, Gauss-Newton goes to their bottoms: subdividing a grid
only where the likelihood is high, taken to its limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.explore.posterior import best_hypotheses
from cryospin.fourier.parity import ParityFold
from cryospin.kernels import slice_volume
from cryospin.particles.prepare import PreparedParticles
from cryospin.refine.gauss_newton import GaussNewton, RefinedPoses
from cryospin.rotations.grid import OrientationGrid

_BATCH = 250
SAME_POSE_COSINE = 0.996  # 5 degrees: less than half of any grid's spacing


@dataclass(frozen=True)
class GlobalAssignment:
    """hypotheses: peaks polished per particle. shifts_per_axis: points of the shift grid."""

    grid: OrientationGrid
    hypotheses: int = 4
    shifts_per_axis: int = 3
    polish: GaussNewton = GaussNewton(steps=6)

    def run(
        self,
        volume: Complex[Tensor, "z y x"],
        particles: PreparedParticles,
        radius: float,
        operators: Float[Tensor, "s 3 3"],
        shift_range_pixel: float,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> tuple[RefinedPoses, Float[Tensor, " n"]]:
        """Poses within `radius` Fourier pixels, and each one's weight among its rivals."""
        disk = particles.disk.prefix(radius)
        fold = ParityFold.of(disk)
        grid = self.grid.asymmetric_unit(operators)
        slices = slice_volume(volume, grid.base, disk)
        count = self.shifts_per_axis
        axis = (torch.arange(count) - (count - 1) / 2) * (2 * shift_range_pixel / count)
        shifts = torch.cartesian_prod(axis, axis)
        poses: list[RefinedPoses] = []
        weights: list[Tensor] = []
        for first in range(0, len(particles), _BATCH):
            rows = torch.arange(first, min(first + _BATCH, len(particles)))
            found = best_hypotheses(
                grid,
                slices,
                particles.coefficients[rows, : len(disk)],
                particles.ctf[rows, : len(disk)],
                shifts,
                torch.zeros(len(rows), 2),
                disk,
                fold,
                self.hypotheses,
            )
            polished = self.polish.refine(
                volume,
                particles.coefficients,
                particles.ctf,
                found.rotations.reshape(-1, 3, 3),
                found.shifts_pixel.reshape(-1, 2),
                disk,
                rows.repeat_interleave(self.hypotheses),
            )
            losses = polished.loss.view(len(rows), self.hypotheses)
            chosen = losses.argmin(dim=1)
            keep = torch.arange(len(rows)) * self.hypotheses + chosen
            poses.append(polished.select(keep))
            weights.append(_weight_near(polished, keep, torch.softmax(-losses, dim=1), operators))
            progress(int(rows[-1]) + 1, len(particles))
        return RefinedPoses.joined(poses), torch.cat(weights)


def _weight_near(
    polished: RefinedPoses,
    chosen: Int[Tensor, " n"],
    weights: Float[Tensor, "n h"],
    operators: Float[Tensor, "s 3 3"],
) -> Float[Tensor, " n"]:
    """Posterior weight of the chosen pose, with that of rivals polished into the same one or into
    a symmetry mate of it."""
    rotations = polished.rotations.view(*weights.shape, 3, 3)
    best = polished.rotations[chosen]
    mates = best[:, None] @ operators
    cosine = (torch.einsum("nhij,nsij->nhs", rotations, mates).amax(dim=-1) - 1) / 2
    return (weights * (cosine > SAME_POSE_COSINE)).sum(dim=1).clamp_max(1.0)
