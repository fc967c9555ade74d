"""Two runs of the same particles laid upon one another: do they show the same thing?

The poses of the particles that both have tell rotation, hand and shift between the maps. Where
the poses have too little in common for that, the maps are searched for the best placement, if one
of them is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from cryospin.campaign.ended import EndedMap, EndedRun
from cryospin.evaluate.agreement import Agreement
from cryospin.evaluate.poses import LOST_DEGREES, match_particles, shift_errors
from cryospin.evaluate.symmetry_axis import align_about_any_axis
from cryospin.io.formats import poses_of
from cryospin.io.mrc import read_map
from cryospin.rotations.align import MIRROR
from cryospin.types import Poses
from cryospin.volumes.alignment import MapAlignment, align_maps, apply_alignment
from cryospin.volumes.map_fsc import fsc

SAME_WITHIN = 1.5
"""Two maps are the same if they share FSC 0.5 to this many times the resolution claimed."""

# poses that agree less often do not tell how the maps lie
_TELLING = 0.5
_FEWEST = 3


@dataclass(frozen=True)
class MapComparison:
    """Two maps superimposed.

    classes: of both runs, from 1. within: of the particles in both, which have poses within 10
    degrees. alignment: of the second onto the first. by_poses: whether the poses tell it.
    fsc_05_angstrom: where their FSC, in the mask of the first and corrected for it, crosses 0.5.
    limit_angstrom: what it has to reach; None where neither is claimed.
    """

    classes: tuple[int, int]
    particles: int
    within: int
    alignment: MapAlignment
    by_poses: bool
    fsc_05_angstrom: float | None
    fsc_0143_angstrom: float | None
    limit_angstrom: float | None

    @property
    def agree(self) -> bool:
        reached, limit = self.fsc_05_angstrom, self.limit_angstrom
        return reached is not None and limit is not None and reached <= limit


@dataclass(frozen=True)
class Comparison:
    """Two runs. particles: that both have. rand_index: adjusted, of their classes; None where they
    have one each."""

    names: tuple[str, str]
    particles: int
    rand_index: float | None
    maps: tuple[MapComparison, ...]
    all_matched: bool

    @property
    def agree(self) -> bool:
        """Whether all of their maps are the same."""
        return self.all_matched and all(each.agree for each in self.maps)

    @property
    def within(self) -> float:
        """Share of the particles with poses within 10 degrees of each other, in maps that match."""
        return sum(each.within for each in self.maps) / self.particles

    def summary(self) -> dict[str, Any]:
        """For joined.json."""
        return {
            "runs": list(self.names),
            "agree": self.agree,
            "particles": self.particles,
            "poses_within_10_degrees": round(self.within, 4),
            "adjusted_rand_index": self.rand_index,
            "maps": [
                {
                    "classes": list(each.classes),
                    "agree": each.agree,
                    "fsc_0.5_angstrom": each.fsc_05_angstrom,
                    "fsc_0.143_angstrom": each.fsc_0143_angstrom,
                    "limit_angstrom": each.limit_angstrom,
                    "placed_by": "poses" if each.by_poses else "maps",
                    "alignment": {
                        "rotation": each.alignment.rotation.tolist(),
                        "shift_angstrom": each.alignment.shift_angstrom.tolist(),
                        "flipped": each.alignment.flipped,
                    },
                }
                for each in self.maps
            ],
        }


def compare(first: EndedRun, second: EndedRun) -> Comparison:
    """Raises BadDataError where a map or a table of a run is missing or damaged."""
    moving, reference = match_particles(second.stack, first.stack)
    found, true = second.members(moving), first.members(reference)
    agreement = Agreement.of(found, true, len(second.maps), len(first.maps))
    several = len(first.maps) > 1 or len(second.maps) > 1
    symmetry = first.symmetry if first.symmetry == second.symmetry else "C1"
    maps = []
    for other, one in sorted(agreement.matches.items(), key=lambda match: match[1]):
        rows = np.flatnonzero((found == other) & (true == one))
        if len(rows) >= _FEWEST:
            poses = poses_of(moving.select(rows)), poses_of(reference.select(rows))
            pair = first.maps[one], second.maps[other]
            maps.append(_compare_maps((one + 1, other + 1), pair, *poses, symmetry))
    return Comparison(
        (first.name, second.name),
        len(moving),
        agreement.adjusted_rand_index if several else None,
        tuple(maps),
        0 < len(maps) == len(first.maps) == len(second.maps),
    )


def _compare_maps(
    classes: tuple[int, int],
    maps: tuple[EndedMap, EndedMap],
    moving: Poses,
    reference: Poses,
    symmetry: str,
) -> MapComparison:
    first, second = (read_map(each.place / "map.mrc") for each in maps)
    alignment, errors = placed_by_poses(moving, reference, symmetry)
    within = int((errors <= LOST_DEGREES).sum())
    claimed = [each.resolution_angstrom for each in maps if each.resolution_angstrom is not None]
    limit = SAME_WITHIN * max(claimed) if claimed else None
    # where nothing is claimed there is nothing to bear out, and a search takes seconds
    by_poses = limit is None or within > _TELLING * len(errors)
    if not by_poses:
        alignment = align_maps(second, first, limit)
    mask = read_map(maps[0].place / "mask.mrc")
    moved = apply_alignment(second, alignment)
    reached = fsc(moved, first, mask)["resolution_angstrom"]["corrected"]
    return MapComparison(
        classes,
        len(errors),
        within,
        alignment,
        by_poses,
        reached["fsc_0.5"],
        reached["fsc_0.143"],
        limit,
    )


def placed_by_poses(
    moving: Poses, reference: Poses, symmetry: str
) -> tuple[MapAlignment, Float[Tensor, " n"]]:
    """How a map lies to another by what poses the same particles have in both, and by how many
    degrees each then disagrees.

    From `volumes.alignment.poses_after_alignment`: with Q and f of the best common frame, an
    origin o fitted to the shifts in the moving map's frame is M^f Q^T s.
    """
    found = align_about_any_axis(moving.rotations, reference.rotations, symmetry)
    rotation = found.global_rotation.double()
    origin = shift_errors(moving, reference, found.errors_degrees).origin_angstrom
    turned = MIRROR @ origin if found.flipped else origin
    share = float((found.errors_degrees <= LOST_DEGREES).double().mean())
    return MapAlignment(rotation, rotation @ turned, found.flipped, share), found.errors_degrees
