"""Sums of slices on NVIDIA cards, as floats in whatever order the card's atomics take, or as
integers, whose sums do not depend on the order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

_deterministic = False


@contextmanager
def deterministic_sums(wanted: bool = True) -> Iterator[None]:
    """Within, insertion gives the same bits in whatever order the card adds.

    It adds integers, in twice the memory, and to no less precision than float32. For the
    whole process: its threads share the card.
    """
    global _deterministic
    before, _deterministic = _deterministic, wanted
    try:
        yield
    finally:
        _deterministic = before


def empty_sums(margin: int, device: torch.device) -> FloatSums | IntegerSums:
    """Nothing yet, in a volume of half-width `margin`."""
    return (IntegerSums if _deterministic else FloatSums).empty(margin, device)


@dataclass(frozen=True)
class FloatSums:
    """(re, im, weight, nothing) at each grid point."""

    total: Tensor
    how: str

    @classmethod
    def empty(cls, margin: int, device: torch.device) -> FloatSums:
        total = torch.zeros(2 * margin + 1, 2 * margin + 1, margin + 1, 4, device=device)
        return cls(total, "vectors" if _adds_vectors(device) else "atomics")

    def make_room(self, values: Tensor, weights: Tensor) -> Tensor:
        return self.total

    def floats(self) -> Tensor:
        return self.total


def _adds_vectors(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)


@dataclass
class IntegerSums:
    """The same as multiples of 2^-exponent: one exponent for re and im, one for the weights.

    Exponents are as large as what is added so far allows. `bound`: what its sums can come to.
    """

    total: Tensor
    bound: Tensor
    exponent: Tensor
    how = "integers"

    @classmethod
    def empty(cls, margin: int, device: torch.device) -> IntegerSums:
        shape = (2 * margin + 1, 2 * margin + 1, margin + 1, 4)
        total = torch.zeros(shape, dtype=torch.int64, device=device)
        bound = torch.zeros(2, dtype=torch.float64, device=device)
        return cls(total, bound, torch.full_like(bound, 120.0))

    def make_room(self, values: Tensor, weights: Tensor) -> Tensor:
        """The scales (2,) that slices are to be multiplied by, so that no sum overflows."""
        largest = torch.stack([_largest(torch.view_as_real(values)), _largest(weights)])
        # the weights with which one slice's points touch a grid point sum to less than 8
        self.bound += largest.double() * (8 * len(values))
        exponent = (61 - torch.log2(self.bound).ceil()).clamp(-120, 120)
        shift = (self.exponent - exponent).long().clamp(0, 63)
        self.total[..., :2].bitwise_right_shift_(shift[0])
        self.total[..., 2].bitwise_right_shift_(shift[1])
        self.exponent = exponent
        return torch.exp2(exponent).float()

    def floats(self) -> Tensor:
        unit = torch.where(self.bound.isfinite(), torch.exp2(-self.exponent), torch.nan).float()
        # integers reach 2^61: the product is no larger than the sums are
        return self.total[..., :3] * torch.stack([unit[0], unit[0], unit[1]])


def _largest(values: Tensor) -> Tensor:
    low, high = torch.aminmax(values)
    return torch.maximum(-low, high)
