"""Poses as searches find them, in pixels; those of tables, in Angstrom, are `types.Poses`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Assignment:
    """A pose for each image, in the conventions of `types.Poses` but in pixels.

    confidence: posterior weight of the pose among those it was chosen from; 1 for the only one.
    loss: as in `kernels.pose_losses`, in the map where the pose was found; 0 for one that was not.
    """

    rotations: Float[Tensor, "n 3 3"]
    shifts_pixel: Float[Tensor, "n 2"]
    confidence: Float[Tensor, " n"]
    loss: Float[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.rotations)

    @classmethod
    def known(
        cls, rotations: Float[Tensor, "n 3 3"], shifts_pixel: Float[Tensor, "n 2"]
    ) -> Assignment:
        """Poses that nobody had to find: they are sure."""
        count = len(rotations)
        return cls(rotations, shifts_pixel, rotations.new_ones(count), rotations.new_zeros(count))

    @classmethod
    def joined(cls, parts: list[Assignment]) -> Assignment:
        """Of the images of one part after those of the other."""
        names = [field.name for field in fields(cls)]
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    def select(self, rows: Int[Tensor, " m"] | slice) -> Assignment:
        """Of some of the images."""
        return Assignment(*(getattr(self, field.name)[rows] for field in fields(self)))

    def with_rows(self, rows: Int[Tensor, " m"], found: Assignment) -> Assignment:
        """With those of some images in the place of theirs."""
        parts = {field.name: getattr(self, field.name).clone() for field in fields(self)}
        for name, values in parts.items():
            values[rows] = getattr(found, name)
        return replace(self, **parts)

    def alone(self) -> PoseHypotheses:
        """As hypotheses, one of each image."""
        return PoseHypotheses(self.rotations[:, None], self.shifts_pixel[:, None])


@dataclass(frozen=True)
class PoseHypotheses:
    """Candidate poses of each particle, in the conventions of `types.Poses` but in pixels."""

    rotations: Float[Tensor, "n h 3 3"]
    shifts_pixel: Float[Tensor, "n h 2"]

    def __len__(self) -> int:
        return len(self.rotations)

    def to(self, device: torch.device) -> PoseHypotheses:
        return PoseHypotheses(self.rotations.to(device), self.shifts_pixel.to(device))

    def joined(self, other: PoseHypotheses) -> PoseHypotheses:
        """Of each particle its own candidates, then the other's."""
        return PoseHypotheses(
            torch.cat([self.rotations, other.rotations], dim=1),
            torch.cat([self.shifts_pixel, other.shifts_pixel], dim=1),
        )
