"""Axes of a map: lines about which, turned by 360 / n degrees, one half-map agrees with the other.

They may be of operators of the map's group; which group that is, `point_group` tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.parallel import in_blocks_on
from cryospin.rotations.healpix import healpix_directions
from cryospin.types import DensityMap
from cryospin.volumes.alignment_search import COARSE_RADIUS, best_shifts, refined
from cryospin.volumes.spectrum_pair import (
    Placement,
    SpectrumPair,
    shell_correlations,
    spectrum_pair,
)

ORDERS = range(2, 13)
MOST_SHELLS = 32  # more of them tell nothing new
_LEAST_FSC = 0.143

# the search: 384 axes 7.3 degrees apart, of each order the best four refined
_NSIDE = 8
_AXES_PER_ORDER = 4
_DISTINCT_DEGREES = 20.0
_CHUNK = 128
_REFINED_TOGETHER = 4
_JUDGED_TOGETHER = 16
_FINER_RADIUS = 10
# an axis that keeps less at the lowest shells is not followed to higher ones
_FOLLOWED = 0.5

SAME_DEGREES = 6.0

IDENTITY = torch.eye(3, dtype=torch.float64)
NOWHERE = torch.zeros(3, dtype=torch.float64)


@dataclass(frozen=True)
class Axis:
    """A rotation by 360 / order degrees that may be an operator. point: on the axis, pixels."""

    order: int
    direction: Float[Tensor, " 3"]
    point: Float[Tensor, " 3"]
    kept: float = 0.0

    def powers(self) -> list[Placement]:
        """All rotations about it."""
        angles = [2 * np.pi * k / self.order for k in range(1, self.order)]
        turns = (turns_about(self.direction, angle) for angle in angles)
        return [Placement(turn, self.point - turn @ self.point, False) for turn in turns]

    def reversed(self) -> Axis:
        """The same line, its other end named first."""
        return replace(self, direction=-self.direction)

    def same(self, other: Axis) -> bool:
        return (
            self.order == other.order
            and degrees_apart(self.direction, other.direction) < SAME_DEGREES
        )


@dataclass(frozen=True)
class HalfMapJudge:
    """Between the half-maps. expected: their FSC unturned."""

    pair: SpectrumPair
    expected: Float[Tensor, " s"]

    @classmethod
    def of(cls, first: DensityMap, second: DensityMap, radius: int) -> HalfMapJudge:
        pair = spectrum_pair(second.values, first.values, radius)
        unmoved = Placement(IDENTITY, NOWHERE, False)
        expected = shell_correlations(pair.reference, pair.moved([unmoved])[0], pair.shells).cpu()
        below = torch.nonzero(expected[1:] < _LEAST_FSC).flatten()
        last = int(below[0]) if len(below) else radius
        return cls(pair.within(last), expected[: last + 1])

    @property
    def radius(self) -> int:
        return len(self.expected) - 1

    def kept(self, placements: list[Placement], radius: int | None = None) -> Float[Tensor, " p"]:
        """What each placement of one half-map leaves of the agreement with the other."""
        pair = self.pair if radius is None else self.pair.within(radius)
        population = torch.bincount(pair.shells.cpu()).double()
        parts = (
            pair.moved(placements[at : at + _JUDGED_TOGETHER])
            for at in range(0, len(placements), _JUDGED_TOGETHER)
        )
        curves = [shell_correlations(pair.reference, each, pair.shells).cpu() for each in parts]
        return torch.cat(curves) @ population / (self.expected[: len(population)] @ population)


def found_axes(whole: SpectrumPair, judge: HalfMapJudge) -> list[Axis]:
    """Axes that may be of operators, the best first."""
    starts = list(_coarse_axes(whole))

    def fine(some: slice) -> list[Axis]:
        return _fine_axes(whole, judge, starts[some])

    blocks = in_blocks_on(whole.reference.device, fine, len(starts), _REFINED_TOGETHER)
    found = [axis for block in blocks for axis in block]
    axes: list[Axis] = []
    for axis in sorted(found, key=lambda axis: -axis.kept):
        if not any(axis.same(other) for other in axes):
            axes.append(axis)
    return axes


def _coarse_axes(whole: SpectrumPair) -> Iterator[tuple[int, Placement]]:
    """The axes about which the lowest shells agree best with themselves, of each order."""
    shells, device = whole.within(COARSE_RADIUS), whole.reference.device
    axes = _hemisphere(_NSIDE)
    rotations = torch.stack([turns_about(axes, 2 * np.pi / order) for order in ORDERS])
    matrices = rotations.mT.flatten(0, 1)

    def best(rows: slice) -> tuple[Tensor, Tensor]:
        return best_shifts(shells, matrices[rows])

    blocks = in_blocks_on(device, best, len(matrices), _CHUNK)
    found = (torch.cat(each).cpu() for each in zip(*blocks, strict=True))
    scores, shifts = (each.unflatten(0, (len(ORDERS), -1)) for each in found)
    for n, order in enumerate(ORDERS):
        for _ in range(_AXES_PER_ORDER):
            top = int(scores[n].argmax())
            yield order, Placement(rotations[n, top], shifts[n, top], False)
            near = (axes @ axes[top]).abs() > np.cos(np.radians(_DISTINCT_DEGREES))
            scores[n, near] = -torch.inf


def _fine_axes(
    whole: SpectrumPair, judge: HalfMapJudge, starts: list[tuple[int, Placement]]
) -> list[Axis]:
    """Refined up the shells; without those that stop being one."""
    orders, placements = [order for order, _ in starts], [start for _, start in starts]
    axes: list[Axis] = []
    radii = {min(each, judge.radius) for each in (COARSE_RADIUS, _FINER_RADIUS, MOST_SHELLS)}
    for radius in sorted(radii):
        placements = refined(whole.within(radius), placements, steps=6)
        axes = [_axis_of(*each) for each in zip(orders, placements, strict=True)]
        powers = [axis.powers() for axis in axes]
        kept = judge.kept([one for some in powers for one in some], radius)
        least = [float(part.min()) for part in kept.split([len(some) for some in powers])]
        axes = [replace(axis, kept=share) for axis, share in zip(axes, least, strict=True)]
        followed = [i for i, axis in enumerate(axes) if axis.kept >= _FOLLOWED]
        orders, placements = [orders[i] for i in followed], [placements[i] for i in followed]
        axes = [axes[i] for i in followed]
        if not followed:
            break
    return axes


def _axis_of(order: int, placement: Placement) -> Axis:
    """The axis that a map was turned about by 360 / order degrees, nearly."""
    turn = roma.rotmat_to_rotvec(placement.rotation)
    direction = turn / turn.norm().clamp_min(1e-9)
    # of the axis's points the nearest to the centre: (1 - R) p = s says nothing along it
    across = IDENTITY - turns_about(direction, 2 * np.pi / order)
    point = torch.linalg.pinv(across, rtol=1e-3) @ placement.shift_pixel
    return Axis(order, direction, point)


def turns_about(directions: Float[Tensor, "*n 3"], angle: float) -> Float[Tensor, "*n 3 3"]:
    return roma.rotvec_to_rotmat(directions * angle)


def degrees_apart(first: Float[Tensor, " 3"], second: Float[Tensor, " 3"]) -> float:
    """Degrees between two lines."""
    return float(torch.rad2deg(torch.acos((first @ second).abs().clamp_max(1.0))))


def _hemisphere(nside: int) -> Float[Tensor, "n 3"]:
    """One end of each axis."""
    x, y, z = directions = torch.as_tensor(np.asarray(healpix_directions(nside))).T
    equator = z.abs() < 1e-9
    upper = (z > 1e-9) | (equator & ((y > 1e-9) | ((y.abs() < 1e-9) & (x > 0))))
    return directions.T[upper]
