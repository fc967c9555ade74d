"""Converged or not, in words. A low loss proves nothing here; independent agreement does."""

from __future__ import annotations

from typing import Any

import torch

from cryospin.reconstruct.refinement import Halves, RoundReport
from cryospin.reconstruct.result import Verdict
from cryospin.rotations.healpix import healpix_directions
from cryospin.types import Poses
from cryospin.volumes.resolution import HalfMapResolution

_LEAST_SHELLS = 10.0
# 90 % of views within 20 degrees of a great circle give 0.19, even views of 100 particles 0.3
_PREFERRED = 0.27


def judge(
    resolution: HalfMapResolution,
    reports: list[RoundReport],
    poses: Poses,
    halves: Halves,
    told: dict[str, Any],
    symmetry: str,
) -> Verdict:
    """Two maps found independently must agree well beyond what any two blobs share."""
    reasons, warnings = [], []
    limit = reports[-1].limit
    converged = limit >= _LEAST_SHELLS
    if converged:
        reasons.append(
            f"two maps found independently from half the particles each agree (FSC 0.143) "
            f"to shell {limit:.1f} of the box"
        )
    else:
        reasons.append(
            f"two maps found independently from half the particles each agree (FSC 0.143) only "
            f"to shell {limit:.1f} of the box, where any two particles of that size may"
        )
    share = directions_of_half_the_views(poses)
    if symmetry == "C1" and share < _PREFERRED:
        warnings.append(
            f"preferred orientation: half of the particles look along {100 * share:.0f} % of the "
            "directions (about 45 % when even); expect the map to be smeared along the others"
        )
    return Verdict(converged, tuple(reasons), tuple(warnings))


def directions_of_half_the_views(poses: Poses) -> float:
    """Smallest share of the sphere that holds half of the views."""
    views = poses.rotations[:, 2].double()
    pixels = torch.as_tensor(healpix_directions(4))
    counts = torch.bincount((views @ pixels.T).argmax(dim=1), minlength=len(pixels))
    held = counts.sort(descending=True).values.cumsum(0)
    return (int((held < 0.5 * held[-1]).sum()) + 1) / len(pixels)
