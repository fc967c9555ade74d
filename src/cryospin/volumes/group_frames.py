"""A point group's axes laid onto those found in a map."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.volumes.spectrum_pair import Placement
from cryospin.volumes.symmetry_axes import (
    IDENTITY,
    NOWHERE,
    SAME_DEGREES,
    Axis,
    degrees_apart,
)


def frames_of(operators: Float[Tensor, "g 3 3"], axes: list[Axis]) -> Iterator[Placement]:
    """All placements that bring axes of the map onto the group's: one of the highest order, and
    any other that makes the angle it must with it."""
    principal, *others = _kinds_of(axes_of(operators))
    for one in (axis for axis in axes if axis.order == principal.order):
        if not others:
            yield _placed([principal], [one])
        for wanted in others:
            angle = degrees_apart(principal.direction, wanted.direction)
            for other in (axis for axis in axes if axis.order == wanted.order):
                if abs(angle - degrees_apart(one.direction, other.direction)) > SAME_DEGREES:
                    continue
                # axes have no ends: the one that makes the angle, not its supplement
                cosines = principal.direction @ wanted.direction, one.direction @ other.direction
                ended = other if cosines[0] * cosines[1] >= 0 else other.reversed()
                yield _placed([principal, wanted], [one, ended])


def _placed(wanted: list[Axis], axes: list[Axis]) -> Placement:
    """Axes brought onto those wanted, the point nearest to them all into the centre."""
    pairs = zip(wanted, axes, strict=True)
    rotation = roma.special_procrustes(
        torch.stack([torch.outer(to.direction, axis.direction) for to, axis in pairs]).sum(dim=0)
    )
    across = torch.stack([IDENTITY - torch.outer(a.direction, a.direction) for a in axes])
    points = torch.einsum("aij,aj->i", across, torch.stack([axis.point for axis in axes]))
    nearest = torch.linalg.pinv(across.sum(dim=0), rtol=1e-3) @ points
    return Placement(rotation, -rotation @ nearest, False)


def same_frame(one: Placement, other: Placement, operators: Float[Tensor, "g 3 3"]) -> bool:
    """Whether they differ by an operator."""
    cosine = (torch.einsum("ij,gij->g", one.rotation @ other.rotation.T, operators).max() - 1) / 2
    return float(cosine) > float(np.cos(np.radians(SAME_DEGREES)))


def axes_of(operators: Float[Tensor, "g 3 3"]) -> list[Axis]:
    """Every axis of a group once, with the highest order it has."""
    turns = roma.rotmat_to_rotvec(operators[1:])
    directions = turns / turns.norm(dim=1, keepdim=True)
    parallel = (directions @ directions.T).abs() > 0.999
    firsts = parallel.int().argmax(dim=1).unique()
    return [Axis(int(parallel[i].sum()) + 1, directions[i], NOWHERE) for i in firsts.tolist()]


def _kinds_of(axes: list[Axis]) -> list[Axis]:
    """An axis of the highest order, then one of each order and angle with it that there are."""
    principal = max(axes, key=lambda axis: axis.order)
    kinds: dict[tuple[bool, int, int], Axis] = {}
    for axis in axes:
        angle = round(degrees_apart(principal.direction, axis.direction))
        kinds.setdefault((angle > 0, -axis.order, angle), axis)
    return [kinds[kind] for kind in sorted(kinds)]
