"""Candidate poses of many images in one flat list: cut down, split, weighed.

Images have different numbers of candidates, so a list with the image of each is kept instead
of a table.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import roma
import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Candidates:
    """Pose p belongs to image `image[p]` (ascending); loss as in `kernels.pose_losses`."""

    rotations: Float[Tensor, "p 3 3"]
    shifts_pixel: Float[Tensor, "p 2"]
    image: Int[Tensor, " p"]
    loss: Float[Tensor, " p"]

    def __len__(self) -> int:
        return len(self.image)

    def select(self, index: Tensor) -> Candidates:
        """Those at `index`, numbers or a mask."""
        return Candidates(*(getattr(self, field.name)[index] for field in fields(self)))

    def with_loss(self, loss: Float[Tensor, " p"]) -> Candidates:
        return replace(self, loss=loss)

    @classmethod
    def joined(cls, *parts: Candidates) -> Candidates:
        names = [field.name for field in fields(cls)]
        together = cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))
        return together.select(torch.argsort(together.image, stable=True))

    def ranked(self) -> Candidates:
        """Image by image, best first."""
        order = torch.argsort(self.loss, stable=True)
        return self.select(order[torch.argsort(self.image[order], stable=True)])

    def capped(self, most: int, images: int) -> Candidates:
        """The `most` best of each of `images` images."""
        ranked = self.ranked()
        counts = torch.bincount(self.image, minlength=images)
        first = torch.cumsum(counts, dim=0) - counts
        rank = torch.arange(len(self), device=first.device) - first[ranked.image]
        return ranked.select(rank < most)

    def best(self, images: int) -> Candidates:
        return self.capped(1, images)

    def weights(self, images: int) -> Float[Tensor, " p"]:
        """Posterior weight of each among its image's: softmax of -loss."""
        least = self.loss.new_full((images,), torch.inf)
        least = least.scatter_reduce(0, self.image, self.loss, "amin")
        weight = torch.exp(least[self.image] - self.loss)
        return weight / weight.new_zeros(images).index_add_(0, self.image, weight)[self.image]


@dataclass(frozen=True)
class Level:
    """Cells of one size: a cube of turns and a square of shifts around each centre, both given
    by their sides. Centres are scored within `radius` Fourier pixels."""

    side_radians: float
    side_pixel: float
    radius: float


def subdivided(cells: Candidates, level: Level) -> Candidates:
    """Each cell's children: 8 octants of its cube of turns exp([w]) R, times the 4 quadrants of
    its square of shifts, where that has a side. Losses are the parents'."""
    half = torch.linspace(-0.25, 0.25, 2, device=cells.rotations.device)
    turns = roma.rotvec_to_rotmat(torch.cartesian_prod(half, half, half) * level.side_radians)
    moves = torch.cartesian_prod(half, half) * level.side_pixel
    if level.side_pixel == 0:
        moves = moves.new_zeros(1, 2)
    count = len(turns) * len(moves)
    rotations = (turns[:, None] @ cells.rotations[:, None, None]).expand(-1, -1, len(moves), 3, 3)
    shifts = (cells.shifts_pixel[:, None, None] + moves).expand(-1, len(turns), -1, 2)
    return Candidates(
        rotations.reshape(-1, 3, 3),
        shifts.reshape(-1, 2),
        cells.image.repeat_interleave(count),
        cells.loss.repeat_interleave(count),
    )
