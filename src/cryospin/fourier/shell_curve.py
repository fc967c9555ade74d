"""A quantity on the shells of a box, shell 0 first: what an FSC is once the mean is counted in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class ShellCurve:
    """values: `values[s]` is that of shell s, the coefficients with round(|k|) = s."""

    values: Float[Tensor, " s"]

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of_fsc(cls, correlation: Float[Tensor, " t"], radius: float | None = None) -> ShellCurve:
        """An FSC of shells 1, 2, ... (`fourier.fsc`) as far as `radius` Fourier pixels, after a
        shell 0 of 1: maps differ in their means as they please."""
        kept = correlation if radius is None else correlation[: int(radius)]
        return cls(torch.cat([kept.new_ones(1), kept]))

    def crossing(self, threshold: float) -> float:
        """The radius, in Fourier pixels, where the curve first falls below a threshold, linear
        between shells; its last shell, where it never does."""
        values = self.values.tolist()
        for shell in range(1, len(values)):
            if values[shell] < threshold:
                above = values[shell - 1]
                return float(shell - 1 + (above - threshold) / max(above - values[shell], 1e-9))
        return float(len(values) - 1)
