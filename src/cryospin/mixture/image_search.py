"""Images searched for in the maps of several classes: poses there, and which map takes which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.explore.setting import Setting
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.refine.assign import GlobalAssignment
from cryospin.refine.halves import HalfSet

ClassProgress = Callable[[str, int, int], None]
"""Told of what is counted, how much of it is done and how much there is in all."""

Volumes = list[Complex[Tensor, "z y x"]]
"""Of each class what slices of its map are cut from."""


def unheard(label: str, done: int, total: int) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class ImageSearch:
    """How, and within which `radius` in Fourier pixels."""

    radius: float
    setting: Setting
    assignment: GlobalAssignment
    progress: ClassProgress = unheard

    def seeded(self, seed: int) -> ImageSearch:
        """With chances of its own."""
        return replace(self, setting=replace(self.setting, seed=seed, shared_seed=seed))

    def volumes(self, classed: ClassedHalf) -> Volumes:
        """Of a half-set's own maps."""
        return classed.volumes(self.radius, self.setting)

    def volume_of(self, half: HalfSet) -> Complex[Tensor, "z y x"]:
        """Of images as of one structure."""
        return self.volumes(ClassedHalf.of_one(half))[0]

    def placed(self, half: HalfSet, volumes: Volumes) -> ClassedHalf:
        """All images searched for in all maps, and their classes by how well these explain them."""
        sets = []
        for number, volume in enumerate(volumes, 1):

            def told(done: int, total: int, number: int = number) -> None:
                self.progress(f"assign class {number}", done, total)

            found = self.assignment.run(volume, half.particles, self.radius, self.setting, told)
            sets.append(replace(half, poses=found))
        losses = torch.stack([each.poses.loss for each in sets], dim=1)
        return ClassedHalf(tuple(sets), torch.softmax(-losses, dim=1))


def shares_taken(weights: Float[Tensor, "n v"], sizes: list[int]) -> Float[Tensor, "g v"]:
    """Of the images of each group (row; they follow one another) the share that is likeliest of
    each class."""
    found = weights.argmax(dim=1).cpu().split(sizes)
    shares = [
        torch.bincount(each, minlength=weights.shape[1]) / max(1, len(each)) for each in found
    ]
    return torch.stack(shares)


def evenly(rows: Int[Tensor, " m"], count: int) -> Int[Tensor, " n"]:
    """So many of them at most, from first to last."""
    return rows[:: max(1, -(-len(rows) // count))] if count else rows[:0]
