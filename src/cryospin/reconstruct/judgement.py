"""Converged or not, in words. A low loss proves nothing here; independent agreement does."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cryospin.reconstruct.result import Verdict
from cryospin.rotations.healpix import healpix_directions
from cryospin.types import Poses
from cryospin.volumes.resolution import HalfMapResolution

# A shell of one size and symmetry agrees with another by itself: from scratch, real apoferritin
# ends in a wrong map whose halves share FSC 0.5 to shell 9.8 and 0.143 to 12.3.
_LEAST_SHELLS = 10.5
# 90 % of views within 20 degrees of a great circle give 0.19, even views 0.35 to 0.45
_PREFERRED = 0.27
# nothing can be reconstructed from views this few: it is how a wrong map explains all images
_DEGENERATE = 0.06


def judge(
    resolution: HalfMapResolution,
    poses: Poses,
    told: dict[str, Any],
    box: int,
    pixel_size_angstrom: float,
    symmetry: str,
) -> Verdict:
    """Two maps found independently must agree, and well beyond what any two blobs share.

    `told` is the story of the exploration: whether the halves agreed at all, and how far.
    """
    field = box * pixel_size_angstrom
    reached = resolution.resolution_05_angstrom
    least = field / _LEAST_SHELLS
    if not told["agreed"]:
        radius = max(told["agreement_radius"], 1e-3)
        return Verdict(
            False,
            (
                f"the maps found from the two half-sets agree (FSC 0.5) only to "
                f"{field / radius:.0f} Angstrom: at least one of them is wrong",
            ),
        )
    if reached is None or reached > least:
        return Verdict(
            False,
            (
                f"after refinement the half-maps do not agree (FSC 0.5) to {least:.0f} "
                "Angstrom, which two different particles of one size may reach",
            ),
        )
    warnings = []
    share = directions_of_half_the_views(poses)
    if symmetry == "C1" and share < _DEGENERATE and len(poses) > 1200:
        return Verdict(
            False,
            (
                f"half of the particles were given {100 * share:.0f} % of the view directions: "
                "a map that explains images so is not of the particle",
            ),
        )
    if symmetry == "C1" and share < _PREFERRED:
        warnings.append(
            f"preferred orientation: half of the particles look along {100 * share:.0f} % of the "
            "directions (about 45 % when even); expect the map to be smeared along the others"
        )
    how = (
        "both half-sets were started from the map given, so this says less than from scratch"
        if told.get("initial_map")
        else "two maps found from half the particles each, from random starts, agree"
    )
    return Verdict(True, (how,), tuple(warnings))


def directions_of_half_the_views(poses: Poses) -> float:
    """Smallest share of the sphere that holds half of the views."""
    views = poses.rotations[:, 2].double()
    # pixels large enough to hold a dozen particles each: chance must not look like preference
    nside = int(np.clip(np.sqrt(len(poses) / 150), 1, 4))
    pixels = torch.as_tensor(healpix_directions(nside))
    counts = torch.bincount((views @ pixels.T).argmax(dim=1), minlength=len(pixels))
    held = counts.sort(descending=True).values.cumsum(0)
    return (int((held < 0.5 * held[-1]).sum()) + 1) / len(pixels)
