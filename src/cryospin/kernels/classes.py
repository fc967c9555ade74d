"""Slices of several maps in one grid: as many of each, one map after the other."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def class_log_odds(prior: Float[Tensor, " c"], slices: int) -> Float[Tensor, " g"]:
    """Log of each slice's prior probability over that of a grid where all are alike."""
    return (len(prior) * prior).log().repeat_interleave(slices // len(prior))


def class_sums(weights: Float[Tensor, "b g"], classes: int) -> Float[Tensor, "b c"]:
    """Weights of an image summed over the slices of each class."""
    return weights.unflatten(1, (classes, -1)).sum(dim=2)
