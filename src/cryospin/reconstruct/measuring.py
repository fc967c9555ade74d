"""What a finished run is judged by, measured on its maps, poses and images."""

from __future__ import annotations

from typing import Any

import torch

from cryospin.explore.setting import Setting
from cryospin.journal.ranks import led
from cryospin.parallel import CPU
from cryospin.reconstruct.coverage import directions_of_half_the_views, sampling_compensation
from cryospin.reconstruct.cross_check import CrossCheck, cross_check
from cryospin.reconstruct.exploration_report import ExplorationReport
from cryospin.reconstruct.final_maps import FinalMaps
from cryospin.reconstruct.judgement import Measures
from cryospin.reconstruct.point_group import SymmetryFound
from cryospin.reconstruct.request import Request
from cryospin.refine.halves import HalfSet
from cryospin.types import DensityMap
from cryospin.volumes.alignment_search import search
from cryospin.volumes.conical_fsc import cone_area_ratio, conical_fsc
from cryospin.volumes.spectrum_pair import shell_correlations, spectrum_pair

_SEARCHED_SHELLS = 15.0


def measure(
    halves: tuple[HalfSet, HalfSet],
    maps: FinalMaps,
    exploration: ExplorationReport,
    setting: Setting,
    request: Request,
    found: SymmetryFound | None = None,
) -> Measures:
    """found: what was found of the symmetry, if it was looked for.

    A run whose halves never agreed is not looked at further.
    """
    mask = maps.mask
    field = mask.box * mask.pixel_size_angstrom
    reached = maps.resolution.resolution_05_angstrom
    shells = None if reached is None else field / reached
    cross: CrossCheck | None = None
    if exploration.agreed and shells is not None:
        radius = min(shells + 1.0, _SEARCHED_SHELLS)
        mates = None
        if found is not None and len(setting.operators) == 1:
            mates = found.operators.to(setting.operators)
        cross = cross_check(halves, maps.filtered, setting, radius, mates)
    rotations = torch.cat([half.rotations for half in halves]).cpu()
    operators = setting.operators

    def measures() -> Measures:
        measured: dict[str, Any] = {}
        if cross is not None and shells is not None:
            one, two = (
                DensityMap(half.values * mask.values, half.pixel_size_angstrom)
                for half in (maps.half1, maps.half2)
            )
            measured = {
                "sampling_compensation": sampling_compensation(rotations, operators.cpu()),
                "cones": cone_area_ratio(conical_fsc(one, two, max(1, round(shells)))),
                "own_mirror": self_mirror_correlation(maps.density, mask, shells, operators.device),
                "cross": cross,
            }
        return Measures(
            field_angstrom=field,
            particles=len(rotations),
            symmetry=request.symmetry,
            agreed=exploration.agreed,
            from_a_map=exploration.from_a_map,
            agreement_shells=exploration.agreement_radius,
            half_map_shells=shells,
            half_views=directions_of_half_the_views(rotations),
            rivals=exploration.rivals,
            still_rising=exploration.still_rising,
            doubts=request.doubts,
            found=found,
            **measured,
        )

    return led(measures)


def self_mirror_correlation(
    density: DensityMap, mask: DensityMap, shells: float, device: torch.device = CPU
) -> float:
    """Mean FSC of a map with its own mirror image, laid upon it as well as can be, over the
    shells to which its half-maps agree. Proteins are of one hand: about 0.5."""
    radius = max(1, min(int(shells), density.box // 2 - 1))
    masked = (density.values * mask.values).to(device)
    pair = spectrum_pair(masked, masked, radius)
    mirrored = pair.moved([search(pair, radius, hands=(True,))])[0]
    curve = shell_correlations(pair.reference, mirrored, pair.shells)
    return float(curve[1:].clamp_min(0.0).mean())
