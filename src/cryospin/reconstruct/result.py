"""What a reconstruction ends in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cryospin.types import DensityMap, Poses
from cryospin.volumes.resolution import HalfMapResolution


@dataclass(frozen=True)
class Verdict:
    """converged, or not, and why in words."""

    converged: bool
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        return "converged" if self.converged else "not converged"


@dataclass(frozen=True)
class Result:
    """Maps on the box of the images, poses in the order of the stack, both halves in one frame.

    map: both halves together, Wiener-filtered by the FSC. half1, half2: unfiltered, unmasked.
    """

    map: DensityMap
    half1: DensityMap
    half2: DensityMap
    mask: DensityMap
    poses: Poses
    half_set: np.ndarray
    resolution: HalfMapResolution
    verdict: Verdict
    explore: dict[str, Any] = field(default_factory=dict)
    refine: list[dict[str, float]] = field(default_factory=list)
