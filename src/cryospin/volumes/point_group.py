"""The point group of a map, about axes that lie anywhere.

Turned by an operator of its group, the map of a symmetric particle agrees with the other half-map
as far and as well as it does unturned. So rotations by 360 / n degrees are searched for over all
axes in the map of both halves, groups are put together of those that may be operators, and each
operator of a group is judged between the halves, which share no noise. The largest group whose
operators all pass is the map's.

What a map cannot tell is a symmetry from one that is almost there, beyond its resolution: that
is for the images to say (`reconstruct.point_group`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.errors import BadDataError, UsageError
from cryospin.parallel import single_threaded_torch
from cryospin.rotations.symmetry import symmetry_group
from cryospin.types import DensityMap
from cryospin.volumes.alignment import MapAlignment, check_comparable
from cryospin.volumes.alignment_search import refined
from cryospin.volumes.group_frames import axes_of, frames_of, same_frame
from cryospin.volumes.spectrum_pair import Placement, SpectrumPair, spectrum_pair
from cryospin.volumes.symmetry_axes import (
    IDENTITY,
    MOST_SHELLS,
    NOWHERE,
    ORDERS,
    Axis,
    HalfMapJudge,
    found_axes,
    turns_about,
)

_SIZES = {
    **{f"C{order}": order for order in ORDERS},
    **{f"D{order}": 2 * order for order in ORDERS},
    **{"T": 12, "O": 24, "I": 60},
}
# every group holds smaller ones, which its map has as well
_LARGEST_FIRST = sorted(_SIZES, key=lambda name: -_SIZES[name])

_LEAST_SHELLS = 8  # fewer of them tell nothing

# What is believed; limits set on maps of 14 structures with noise, at 10 to 17 shells: groups that
# are there keep 0.92 to 1.05, pseudo-symmetry (an antibody, an ion channel) 0.28 to 0.63; rotations
# that are none keep up to 0.4, and 0.8 where the map is hardly more than a ball.
_KEPT = 0.85
_ABOVE_UNRELATED = 0.1
# Poses that are somewhat wrong take the same from all operators: a larger group is believed that
# keeps nearly what a smaller one does (4V1W, whose poses were found without any: O keeps 0.826, C4
# 0.865). Images may object.
_NEARLY = 0.9
# A map compared with itself agrees perfectly unturned, noise and all: groups that are there keep
# 0.70 to 0.77 to the shell where its half-maps share FSC 0.143.
_KEPT_OF_ONE_MAP = 0.6
_UNRELATED = 40


@dataclass(frozen=True)
class TriedGroup:
    """A group whose axes were found.

    kept: what the worst of its operators leaves of the half-maps' agreement, all coefficients
        to the resolution alike; about 1 where the particle has it.
    unrelated: the most that is left by rotations that are far from all its operators.
    """

    name: str
    kept: float
    unrelated: float


@dataclass(frozen=True)
class PointGroup:
    """A point group and where its axes are.

    Parameters
    ----------
    name : str
        "C4", "D7", "O" ...; "C1" if there is none.
    alignment : MapAlignment
        Moves the map so that the axes are RELION's and meet in the box centre.
    tried : tuple of TriedGroup
        Groups whose axes were found, the largest first, but last the one believed, or one
        whose operators agree no better than other rotations: then the map cannot tell.
    resolution_angstrom : float
        To which the maps were compared.
    """

    name: str
    alignment: MapAlignment
    tried: tuple[TriedGroup, ...]
    resolution_angstrom: float


def find_point_group(
    first: DensityMap,
    second: DensityMap | None = None,
    max_resolution_angstrom: float | None = None,
) -> PointGroup:
    """Find the largest point group that a map has: C2 to C12, D2 to D12, T, O or I.

    Parameters
    ----------
    first, second : DensityMap
        Half-maps in one frame, made without symmetry, not masked tightly. They are compared as
        far as they agree (FSC 0.143 inside of a sphere). A single map is compared with itself,
        which is less certain.
    max_resolution_angstrom : float, optional
        Do not compare beyond it. A single map needs it: give the resolution at which its noise
        begins.

    Returns
    -------
    PointGroup
        The largest group whose operators all pass, and what was tried.

    Raises
    ------
    BadDataError
        The maps differ in box or voxel size, or the box is odd.
    UsageError
        A single map comes without a resolution.
    """
    other = first if second is None else second
    check_comparable(first, other)
    if first.box % 2:
        raise BadDataError(
            f"cannot look for symmetry in a map of {first.box} voxels", fix="pad to an even box"
        )
    if second is None and max_resolution_angstrom is None:
        raise UsageError(
            "how far one map can be believed is not known\n"
            "  fix: give both half-maps, or --resolution"
        )
    field = first.box * first.pixel_size_angstrom
    radius = min(first.box // 2 - 1, MOST_SHELLS)
    if max_resolution_angstrom is not None:
        radius = min(radius, int(field / max_resolution_angstrom))
    with single_threaded_torch():
        return _searched(first, other, max(radius, 1), one_map=second is None)


def mean_map(first: DensityMap, second: DensityMap | None) -> DensityMap:
    """Of both half-maps; the first where there is one only."""
    if second is None:
        return first
    return DensityMap(0.5 * (first.values + second.values), first.pixel_size_angstrom)


def _searched(first: DensityMap, second: DensityMap, radius: int, one_map: bool) -> PointGroup:
    box, pixel = first.box, first.pixel_size_angstrom
    judge = HalfMapJudge.of(first, second, radius)
    resolution = box * pixel / max(judge.radius, 1)
    tried = []
    if judge.radius >= _LEAST_SHELLS:
        both = mean_map(first, second).values
        whole = spectrum_pair(both, both, judge.radius)
        axes = found_axes(whole, judge)
        least = _KEPT
        if one_map and axes:
            # its noise takes the same share from all operators
            least = max(_KEPT_OF_ONE_MAP, _KEPT * axes[0].kept)
        nearly = []
        for name in _LARGEST_FIRST:
            frame = _frame(name, axes, whole, judge)
            if frame is None:
                continue
            operators = symmetry_group(name)
            kept = float(judge.kept(_in_the_map(operators[1:], frame)).min())
            unrelated = float(judge.kept(_in_the_map(_unrelated(operators), frame)).max())
            tried.append(TriedGroup(name, kept, unrelated))
            if kept < least:
                if kept - unrelated >= _ABOVE_UNRELATED:
                    nearly.append((tried[-1], frame))
                continue
            passed = (tried[-1], frame)
            group, frame = next((each for each in nearly if each[0].kept > _NEARLY * kept), passed)
            if group.kept - group.unrelated < _ABOVE_UNRELATED:
                break  # a ball or a tube as far as it is resolved: no group can be told
            tried.append(tried.pop(tried.index(group)))
            alignment = MapAlignment(frame.rotation, frame.shift_pixel * pixel, False, group.kept)
            return PointGroup(group.name, alignment, tuple(tried), resolution)
    unmoved = MapAlignment(IDENTITY, NOWHERE, False, 1.0)
    return PointGroup("C1", unmoved, tuple(tried), resolution)


def _frame(
    name: str, axes: list[Axis], whole: SpectrumPair, judge: HalfMapJudge
) -> Placement | None:
    """The placement of the map in the group's axes that suits it best; None without the axes."""
    operators = symmetry_group(name)
    distinct: list[Placement] = []
    for frame in frames_of(operators, axes):
        if not any(same_frame(frame, other, operators) for other in distinct):
            distinct.append(frame)
    scored = [
        (float(judge.kept(_in_the_map(operators[1:], frame)).min()), frame) for frame in distinct
    ]
    if not scored:
        return None
    _, frame = max(scored, key=lambda each: each[0])
    for _ in range(3):
        # the map laid upon the mean of its turned copies
        copies = (Placement(g @ frame.rotation, g @ frame.shift_pixel, False) for g in operators)
        mean = whole.moved(list(copies)).mean(dim=0)
        frame = refined(replace(whole, reference=mean), [frame], steps=4)[0]
    return frame


def _in_the_map(operators: Float[Tensor, "g 3 3"], frame: Placement) -> list[Placement]:
    """Rotations about the group's centre, as placements of the map upon itself."""
    q, s = frame.rotation, frame.shift_pixel
    return [Placement(q.T @ g @ q, q.T @ (g @ s - s), False) for g in operators]


def _unrelated(operators: Float[Tensor, "g 3 3"]) -> Float[Tensor, "r 3 3"]:
    """Rotations far from all operators, and about each axis those between them: what a ball or a
    tube agrees with as well."""
    draw = torch.randn(400, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rotations = roma.unitquat_to_rotmat(draw / draw.norm(dim=1, keepdim=True))
    farthest = torch.einsum("rij,gij->rg", rotations, operators).amax(dim=1).argsort()
    between = [
        turns_about(axis.direction, 2 * np.pi * (k + 0.5) / axis.order)
        for axis in axes_of(operators)
        for k in range(axis.order)
    ]
    return torch.cat([rotations[farthest[:_UNRELATED]], torch.stack(between)])
