"""What a reconstruction ends in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cryospin.particles.diameter import ParticleSize
from cryospin.reconstruct.point_group import SymmetryFound
from cryospin.types import DensityMap, Poses
from cryospin.volumes.resolution import HalfMapResolution

CONVERGED, AMBIGUOUS, FAILED = "converged", "ambiguous", "failed"


@dataclass(frozen=True)
class Evidence:
    """One number a run is judged by.

    value, limit: in `unit`; a limit of None judges nothing. counts: what not passing makes of
    the run: FAILED, AMBIGUOUS or "warning". words: what not passing means.
    """

    name: str
    value: float
    unit: str
    limit: float | None
    passed: bool
    counts: str
    words: str


@dataclass(frozen=True)
class Verdict:
    """CONVERGED, AMBIGUOUS or FAILED, and why in words."""

    word: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def converged(self) -> bool:
        return self.word == CONVERGED


@dataclass(frozen=True)
class Result:
    """Maps on the box of the images, poses in the order of the stack, both halves in one frame.

    map: both halves together, Wiener-filtered by their FSC inside of the mask (corrected for it),
        not masked. half1, half2: unfiltered, unmasked.
    symmetry: imposed at the end. found: where none was given, what maps and images say of it.
    turned: whether the maps are the negative of what the images as they are would give.
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
    turned: bool = False
    size: ParticleSize | None = None
    symmetry: str = "C1"
    found: SymmetryFound | None = None
