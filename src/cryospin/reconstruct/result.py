"""What a reconstruction ends in."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cryospin.particles.diameter import ParticleSize
from cryospin.reconstruct.exploration_report import ExplorationReport
from cryospin.reconstruct.point_group import SymmetryFound
from cryospin.types import DensityMap, Poses
from cryospin.volumes.resolution import HalfMapResolution

CONVERGED, AMBIGUOUS, FAILED = "converged", "ambiguous", "failed"


@dataclass(frozen=True)
class Evidence:
    """One number a run is judged by.

    Parameters
    ----------
    name : str
        What is measured.
    value : float
        In `unit`.
    unit : str
        Of value and limit.
    limit : float or None
        None judges nothing.
    passed : bool
        Whether the value is on the good side of the limit.
    counts : str
        What the run becomes if it does not pass: "failed", "ambiguous" or "warning".
    words : str
        What it means if it does not pass.
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
    """What a run claims, and why.

    Parameters
    ----------
    label : str
        "converged", "ambiguous" or "failed".
    reasons : tuple of str
        Why, a sentence each.
    warnings : tuple of str
        What to know although it does not change the verdict.
    evidence : tuple of Evidence
        The numbers behind it.
    """

    label: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def converged(self) -> bool:
        return self.label == CONVERGED


@dataclass(frozen=True)
class Result:
    """Maps on the box of the images, and poses in the order of the stack, all in one frame.

    Parameters
    ----------
    map : DensityMap
        Of both halves together, Wiener-filtered by their FSC inside of the mask (corrected for
        the mask), not masked.
    half1, half2 : DensityMap
        Unfiltered and unmasked.
    mask : DensityMap
        0 to 1, with a soft edge.
    poses : Poses
        One per particle.
    half_set : array
        (n,), 1 or 2.
    resolution : HalfMapResolution
        FSC curves of the half-maps and where they cross 0.143 and 0.5.
    verdict : Verdict
        Whether to believe all this.
    explore : ExplorationReport
        How the half-sets came to their first poses.
    refine : list
        What each round of refinement reports. Both go into result.json.
    contrast_inverted : bool
        The maps are the negative of what the images as they
        are would give.
    size : ParticleSize or None
        Of the particle, and where it comes from.
    symmetry : str
        Imposed at the end.
    found : SymmetryFound or None
        If none was given, what maps and images say about it.
    """

    map: DensityMap
    half1: DensityMap
    half2: DensityMap
    mask: DensityMap
    poses: Poses
    half_set: np.ndarray
    resolution: HalfMapResolution
    verdict: Verdict
    explore: ExplorationReport
    refine: list[dict[str, float]] = field(default_factory=list)
    contrast_inverted: bool = False
    size: ParticleSize | None = None
    symmetry: str = "C1"
    found: SymmetryFound | None = None
