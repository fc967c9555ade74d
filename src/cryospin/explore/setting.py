"""What a search for poses is given besides the images, whatever its method."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.particles.diameter import LARGEST_SUPPORT


@dataclass(frozen=True)
class Setting:
    """Where a particle's pose is looked for, and what chance depends on.

    operators: rotations of the symmetry that is imposed, the identity first.
    shift_range_pixel: how far particles may lie from the box centre, per axis.
    support_radius: of the sphere the particle lies in, in boxes.
    seed: of this search. shared_seed: of all that are compared with it: they hold out the same
        images, so that their scores tell which is better.
    """

    operators: Float[Tensor, "s 3 3"]
    shift_range_pixel: float
    support_radius: float = LARGEST_SUPPORT
    seed: int = 0
    shared_seed: int = 0

    def of_start(self, half: int, attempt: int) -> Setting:
        """For one of the searches that share the seed: of a half-set, for the n-th time."""
        return replace(self, seed=self.shared_seed * 1000 + attempt * 10 + half)

    def shifts_pixel(self, per_axis: int) -> Float[Tensor, "t 2"]:
        """Evenly over the square of those there are; on the CPU."""
        step = 2 * self.shift_range_pixel / per_axis
        axis = (torch.arange(per_axis) - (per_axis - 1) / 2) * step
        return torch.cartesian_prod(axis, axis)

    def asymmetric(self) -> Setting:
        """With no symmetry imposed."""
        return replace(self, operators=self.operators[:1])
