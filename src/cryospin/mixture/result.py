"""What a search for several structures found."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from cryospin.mixture.classed_half import likeliest
from cryospin.mixture.distinct import Likeness
from cryospin.reconstruct.result import Result


@dataclass(frozen=True)
class ClassResult:
    """A structure. rows: of its particles in the stack. agreement: Fourier pixels to which the
    maps of the half-sets, found independently, share FSC 0.5."""

    rows: Int[np.ndarray, " m"]
    agreement: float
    result: Result


@dataclass(frozen=True)
class MixtureResult:
    """asked: how many classes there were to be, at most. classes: those found, the largest first.
    weights: the probability of each particle of the stack to belong to each; what is lacking to
    1 is that of none. likenesses: of every two of them. joined: of every two of those searched
    for that were one structure, or the most alike of too many, and were joined one pair after the
    other; their numbers are of that time. confusion: of the images in each class (row), how many
    would be in which by the maps of the other half-set. half_set: 1 or 2 of each particle.
    """

    asked: int
    classes: tuple[ClassResult, ...]
    weights: Float[Tensor, "n c"]
    likenesses: tuple[Likeness, ...]
    joined: tuple[Likeness, ...]
    confusion: Int[Tensor, "c c"]
    half_set: Int[np.ndarray, " n"]

    @property
    def numbers(self) -> Int[Tensor, " n"]:
        """The class of each particle, counted from 0; -1 for none."""
        return likeliest(self.weights)


def renumbered(likenesses: list[Likeness], order: list[int]) -> list[Likeness]:
    """Of the same classes when they are put in an order."""
    pairs = [sorted((order.index(each.one), order.index(each.other))) for each in likenesses]
    moved = [
        replace(each, one=one, other=other)
        for each, (one, other) in zip(likenesses, pairs, strict=True)
    ]
    return sorted(moved, key=lambda each: (each.one, each.other))
