"""Sums over rings: points that share a label lie side by side once sorted, and segments are summed.

Memory is that of the values; a matrix of points by rings would grow with the cube of the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.particles.prepare import radius_grid


@dataclass(frozen=True)
class Rings:
    """p points on r rings, every ring with at least one.

    order: the points, sorted by ring; None where they are sorted already.
    start: where each ring's points begin in that order.
    population: points of each ring.
    """

    order: np.ndarray | None
    start: np.ndarray
    population: Float[Tensor, " r"]

    @classmethod
    def of_labels(cls, labels: np.ndarray) -> Rings:
        """Of points whose labels ascend from 0, as the shells of a `FourierDisk` do."""
        start = np.flatnonzero(np.diff(labels, prepend=-1))
        return cls(None, start, torch.from_numpy(np.bincount(labels)).double())

    @classmethod
    @lru_cache(maxsize=8)
    def of_pixels(cls, box: int) -> Rings:
        """Rings one pixel wide about the centre of a box, radius 0 to box/2 - 1."""
        ring = radius_grid(box).round().long().flatten().numpy()
        inside = np.flatnonzero(ring < box // 2)
        order = inside[np.argsort(ring[inside], kind="stable")]
        sorted_rings = cls.of_labels(ring[order])
        return cls(order, sorted_rings.start, sorted_rings.population)

    def sums(self, values: Float[Tensor, "b p"]) -> Float[Tensor, "b r"]:
        points = values.numpy() if self.order is None else values.numpy()[:, self.order]
        return torch.from_numpy(np.add.reduceat(points, self.start, axis=1))

    def means(self, values: Float[Tensor, "b p"]) -> Float[Tensor, "b r"]:
        return self.sums(values) / self.population.to(values.dtype)
