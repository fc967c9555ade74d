"""Two ways to sort the same particles, compared: which classes are which, and how well they agree.

Classes are numbers from 0, and -1 for none (junk), which stands for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int
from scipy.optimize import linear_sum_assignment

Labels = Int[np.ndarray, " n"]


@dataclass(frozen=True)
class Agreement:
    """counts: (1 + t, 1 + c) particles of each true class (rows) in each class found; the first
    row and column are junk."""

    counts: Int[np.ndarray, "t c"]

    @classmethod
    def of(cls, found: Labels, true: Labels, found_classes: int, true_classes: int) -> Agreement:
        """Of particles whose classes are below these numbers."""
        counts = np.zeros((true_classes + 1, found_classes + 1), dtype=np.int64)
        np.add.at(counts, (true + 1, found + 1), 1)
        return cls(counts)

    @cached_property
    def matches(self) -> dict[int, int]:
        """The true class of each class found, one to one, such that most particles agree.

        Where there are more classes than true ones, the others have no match.
        """
        rows, columns = linear_sum_assignment(self.counts[1:, 1:], maximize=True)
        pairs = zip(columns.tolist(), rows.tolist(), strict=True)
        return {found: true for found, true in pairs if self.counts[true + 1, found + 1]}

    def mostly(self, found: int) -> int | None:
        """The true class that most particles of a class show; None where none shows one."""
        members = self.counts[1:, found + 1]
        return int(members.argmax()) if members.any() else None

    @property
    def accuracy(self) -> float:
        """Fraction of particles in the class that is matched to their own; junk among junk."""
        right = self.counts[0, 0] + sum(
            self.counts[true + 1, found + 1] for found, true in self.matches.items()
        )
        return float(right / self.counts.sum())

    @property
    def adjusted_rand_index(self) -> float:
        """1: the same partition, 0: as alike as by chance (Hubert and Arabie 1985, eq. 5)."""
        together = _pairs(self.counts)
        true, found = (_pairs(self.counts.sum(axis=axis)) for axis in (1, 0))
        expected = true * found / max(_pairs(self.counts.sum(keepdims=True)), 1.0)
        most = 0.5 * (true + found)
        # all in one class both times, or each particle in one of its own
        return 1.0 if most == expected else (together - expected) / (most - expected)


def _pairs(counts: np.ndarray) -> float:
    """In how many ways two of one group can be chosen, over all groups: no integer overflows."""
    sizes = counts.astype(np.float64)
    return float((0.5 * sizes * (sizes - 1.0)).sum())
