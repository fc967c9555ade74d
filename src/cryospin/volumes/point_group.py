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

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.errors import BadDataError, UsageError
from cryospin.parallel import in_blocks, single_threaded_torch
from cryospin.rotations.healpix import healpix_directions
from cryospin.rotations.symmetry import symmetry_group
from cryospin.types import DensityMap
from cryospin.volumes.alignment import MapAlignment, check_comparable
from cryospin.volumes.alignment_search import COARSE_RADIUS, best_shifts, refined
from cryospin.volumes.spectrum_pair import (
    Placement,
    SpectrumPair,
    shell_correlations,
    spectrum_pair,
)

_ORDERS = range(2, 13)
_SIZES = {
    **{f"C{order}": order for order in _ORDERS},
    **{f"D{order}": 2 * order for order in _ORDERS},
    **{"T": 12, "O": 24, "I": 60},
}
# every group holds smaller ones, which its map has as well
_LARGEST_FIRST = sorted(_SIZES, key=lambda name: -_SIZES[name])

# the search: 384 axes 7.3 degrees apart, of each order the best four refined
_NSIDE = 8
_AXES_PER_ORDER = 4
_DISTINCT_DEGREES = 20.0
_CHUNK = 128
_FINER_RADIUS = 10
_SAME_DEGREES = 6.0
# an axis that keeps less at the lowest shells is not followed to higher ones
_FOLLOWED = 0.5

# fewer shells tell nothing, more of them nothing new
_LEAST_SHELLS = 8
MOST_SHELLS = 32
_LEAST_FSC = 0.143

# What is believed; limits set on maps of 14 structures with noise, at 10 to 17 shells: groups that
# are there keep 0.92 to 1.05, pseudo-symmetry (an antibody, an ion channel) 0.28 to 0.63; rotations
# that are none keep up to 0.4, and 0.8 where the map is hardly more than a ball.
_KEPT = 0.85
_ABOVE_UNRELATED = 0.1
# A map compared with itself agrees perfectly unturned, noise and all: groups that are there keep
# 0.70 to 0.77 to the shell where its half-maps share FSC 0.143.
_KEPT_OF_ONE_MAP = 0.6
_UNRELATED = 40


_IDENTITY = torch.eye(3, dtype=torch.float64)
_NOWHERE = torch.zeros(3, dtype=torch.float64)


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
        Groups whose axes were found, the largest first. The last is the one believed, or one
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
    # a search of few seconds wherever the maps are
    first, other = (DensityMap(m.values.cpu(), m.pixel_size_angstrom) for m in (first, other))
    with single_threaded_torch():
        return _searched(first, other, max(radius, 1), one_map=second is None)


def mean_map(first: DensityMap, second: DensityMap | None) -> DensityMap:
    """Of both half-maps; the first where there is one only."""
    if second is None:
        return first
    return DensityMap(0.5 * (first.values + second.values), first.pixel_size_angstrom)


@dataclass(frozen=True)
class _Axis:
    """A rotation by 360 / order degrees that may be an operator. point: on the axis, pixels."""

    order: int
    direction: Float[Tensor, " 3"]
    point: Float[Tensor, " 3"]
    kept: float = 0.0

    def powers(self) -> list[Placement]:
        """All rotations about it."""
        angles = [2 * np.pi * k / self.order for k in range(1, self.order)]
        turns = (_turns(self.direction, angle) for angle in angles)
        return [Placement(turn, self.point - turn @ self.point, False) for turn in turns]

    def reversed(self) -> _Axis:
        """The same line, its other end named first."""
        return replace(self, direction=-self.direction)

    def same(self, other: _Axis) -> bool:
        return self.order == other.order and _apart(self.direction, other.direction) < _SAME_DEGREES


@dataclass(frozen=True)
class _Judge:
    """Between the half-maps. expected: their FSC unturned."""

    pair: SpectrumPair
    expected: Float[Tensor, " s"]

    @classmethod
    def of(cls, first: DensityMap, second: DensityMap, radius: int) -> _Judge:
        pair = spectrum_pair(second.values, first.values, radius)
        unmoved = Placement(_IDENTITY, _NOWHERE, False)
        expected = shell_correlations(pair.reference, pair.moved(unmoved), pair.shells)
        below = torch.nonzero(expected[1:] < _LEAST_FSC).flatten()
        last = int(below[0]) if len(below) else radius
        return cls(pair.within(last), expected[: last + 1])

    @property
    def radius(self) -> int:
        return len(self.expected) - 1

    def kept(self, placements: list[Placement], radius: int | None = None) -> Float[Tensor, " p"]:
        """What each placement of one half-map leaves of the agreement with the other."""
        pair = self.pair if radius is None else self.pair.within(radius)
        population = torch.bincount(pair.shells).double()
        moved = (pair.moved(placement) for placement in placements)
        curves = [shell_correlations(pair.reference, each, pair.shells) for each in moved]
        return torch.stack(curves) @ population / (self.expected[: len(population)] @ population)


def _searched(first: DensityMap, second: DensityMap, radius: int, one_map: bool) -> PointGroup:
    box, pixel = first.box, first.pixel_size_angstrom
    judge = _Judge.of(first, second, radius)
    resolution = box * pixel / max(judge.radius, 1)
    tried = []
    if judge.radius >= _LEAST_SHELLS:
        both = mean_map(first, second).values
        whole = spectrum_pair(both, both, judge.radius)
        axes = _found_axes(whole, judge)
        least = _KEPT
        if one_map and axes:
            # its noise takes the same share from all operators
            least = max(_KEPT_OF_ONE_MAP, _KEPT * axes[0].kept)
        for name in _LARGEST_FIRST:
            frame = _frame(name, axes, whole, judge)
            if frame is None:
                continue
            operators = symmetry_group(name)
            kept = float(judge.kept(_in_the_map(operators[1:], frame)).min())
            unrelated = float(judge.kept(_in_the_map(_unrelated(operators), frame)).max())
            tried.append(TriedGroup(name, kept, unrelated))
            if kept < least:
                continue
            if kept - unrelated < _ABOVE_UNRELATED:
                break  # a ball or a tube as far as it is resolved: no group can be told
            alignment = MapAlignment(frame.rotation, frame.shift_pixel * pixel, False, kept)
            return PointGroup(name, alignment, tuple(tried), resolution)
    unmoved = MapAlignment(_IDENTITY, _NOWHERE, False, 1.0)
    return PointGroup("C1", unmoved, tuple(tried), resolution)


def _found_axes(whole: SpectrumPair, judge: _Judge) -> list[_Axis]:
    """Axes that may be of operators, the best first."""
    starts = list(_coarse_axes(whole))

    def fine(one: slice) -> _Axis | None:
        return _fine_axis(whole, judge, *starts[one.start])

    found = [axis for axis in in_blocks(fine, len(starts), 1) if axis is not None]
    axes: list[_Axis] = []
    for axis in sorted(found, key=lambda axis: -axis.kept):
        if not any(axis.same(other) for other in axes):
            axes.append(axis)
    return axes


def _coarse_axes(whole: SpectrumPair) -> Iterator[tuple[int, Placement]]:
    """The axes about which the lowest shells agree best with themselves, of each order."""
    shells = whole.within(COARSE_RADIUS)
    axes = _hemisphere(_NSIDE)
    for order in _ORDERS:
        rotations = _turns(axes, 2 * np.pi / order)

        def best(rows: slice, rotations: Tensor = rotations) -> tuple[Tensor, Tensor]:
            return best_shifts(shells, rotations[rows].mT)

        blocks = in_blocks(best, len(rotations), _CHUNK)
        scores, shifts = (torch.cat(each) for each in zip(*blocks, strict=True))
        for _ in range(_AXES_PER_ORDER):
            top = int(scores.argmax())
            yield order, Placement(rotations[top], shifts[top], False)
            near = (axes @ axes[top]).abs() > np.cos(np.radians(_DISTINCT_DEGREES))
            scores[near] = -torch.inf


def _fine_axis(whole: SpectrumPair, judge: _Judge, order: int, start: Placement) -> _Axis | None:
    """Refined up the shells; None where it stops being one."""
    placement = start
    radii = {min(each, judge.radius) for each in (COARSE_RADIUS, _FINER_RADIUS, MOST_SHELLS)}
    for radius in sorted(radii):
        placement = refined(whole.within(radius), placement, steps=6)
        turn = roma.rotmat_to_rotvec(placement.rotation)
        direction = turn / turn.norm().clamp_min(1e-9)
        # of the axis's points the nearest to the centre: (1 - R) p = s says nothing along it
        across = _IDENTITY - _turns(direction, 2 * np.pi / order)
        point = torch.linalg.pinv(across, rtol=1e-3) @ placement.shift_pixel
        axis = _Axis(order, direction, point)
        axis = replace(axis, kept=float(judge.kept(axis.powers(), radius).min()))
        if axis.kept < _FOLLOWED:
            return None
    return axis


def _frame(name: str, axes: list[_Axis], whole: SpectrumPair, judge: _Judge) -> Placement | None:
    """The placement of the map in the group's axes that suits it best; None without the axes."""
    operators = symmetry_group(name)
    distinct: list[Placement] = []
    for frame in _frames(operators, axes):
        if not any(_same_frame(frame, other, operators) for other in distinct):
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
        mean = torch.stack([whole.moved(copy) for copy in copies]).mean(dim=0)
        frame = refined(replace(whole, reference=mean), frame, steps=4)
    return frame


def _frames(operators: Float[Tensor, "g 3 3"], axes: list[_Axis]) -> Iterator[Placement]:
    """All placements that bring axes of the map onto the group's: one of the highest order, and
    any other that makes the angle it must with it."""
    principal, *others = _kinds_of(_axes_of(operators))
    for one in (axis for axis in axes if axis.order == principal.order):
        if not others:
            yield _placed([principal], [one])
        for wanted in others:
            angle = _apart(principal.direction, wanted.direction)
            for other in (axis for axis in axes if axis.order == wanted.order):
                if abs(angle - _apart(one.direction, other.direction)) > _SAME_DEGREES:
                    continue
                # axes have no ends: the one that makes the angle, not its supplement
                cosines = principal.direction @ wanted.direction, one.direction @ other.direction
                ended = other if cosines[0] * cosines[1] >= 0 else other.reversed()
                yield _placed([principal, wanted], [one, ended])


def _placed(wanted: list[_Axis], axes: list[_Axis]) -> Placement:
    """Axes brought onto those wanted, the point nearest to them all into the centre."""
    pairs = zip(wanted, axes, strict=True)
    rotation = roma.special_procrustes(
        torch.stack([torch.outer(to.direction, axis.direction) for to, axis in pairs]).sum(dim=0)
    )
    across = torch.stack([_IDENTITY - torch.outer(a.direction, a.direction) for a in axes])
    points = torch.einsum("aij,aj->i", across, torch.stack([axis.point for axis in axes]))
    nearest = torch.linalg.pinv(across.sum(dim=0), rtol=1e-3) @ points
    return Placement(rotation, -rotation @ nearest, False)


def _axes_of(operators: Float[Tensor, "g 3 3"]) -> list[_Axis]:
    """Every axis of a group once, with the highest order it has."""
    turns = roma.rotmat_to_rotvec(operators[1:])
    directions = turns / turns.norm(dim=1, keepdim=True)
    parallel = (directions @ directions.T).abs() > 0.999
    firsts = parallel.int().argmax(dim=1).unique()
    return [_Axis(int(parallel[i].sum()) + 1, directions[i], _NOWHERE) for i in firsts.tolist()]


def _kinds_of(axes: list[_Axis]) -> list[_Axis]:
    """An axis of the highest order, then one of each order and angle with it that there are."""
    principal = max(axes, key=lambda axis: axis.order)
    kinds: dict[tuple[bool, int, int], _Axis] = {}
    for axis in axes:
        angle = round(_apart(principal.direction, axis.direction))
        kinds.setdefault((angle > 0, -axis.order, angle), axis)
    return [kinds[kind] for kind in sorted(kinds)]


def _same_frame(one: Placement, other: Placement, operators: Float[Tensor, "g 3 3"]) -> bool:
    """Whether they differ by an operator."""
    cosine = (torch.einsum("ij,gij->g", one.rotation @ other.rotation.T, operators).max() - 1) / 2
    return float(cosine) > float(np.cos(np.radians(_SAME_DEGREES)))


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
        _turns(axis.direction, 2 * np.pi * (k + 0.5) / axis.order)
        for axis in _axes_of(operators)
        for k in range(axis.order)
    ]
    return torch.cat([rotations[farthest[:_UNRELATED]], torch.stack(between)])


def _turns(directions: Float[Tensor, "*n 3"], angle: float) -> Float[Tensor, "*n 3 3"]:
    return roma.rotvec_to_rotmat(directions * angle)


def _apart(first: Float[Tensor, " 3"], second: Float[Tensor, " 3"]) -> float:
    """Degrees between two lines."""
    return float(torch.rad2deg(torch.acos((first @ second).abs().clamp_max(1.0))))


def _hemisphere(nside: int) -> Float[Tensor, "n 3"]:
    """One end of each axis."""
    x, y, z = directions = torch.as_tensor(np.asarray(healpix_directions(nside))).T
    equator = z.abs() < 1e-9
    upper = (z > 1e-9) | (equator & ((y > 1e-9) | ((y.abs() < 1e-9) & (x > 0))))
    return directions.T[upper]
