"""The axes of a point group, and where they lie in a map."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cryospin.rotations.symmetry import symmetry_group
from cryospin.volumes.group_frames import axes_of, frames_of, same_frame
from cryospin.volumes.spectrum_pair import Placement
from phantoms import random_turns


@pytest.mark.parametrize(
    ("name", "orders"),
    [
        ("C5", [5]),
        ("D3", [2, 2, 2, 3]),
        ("T", [2] * 3 + [3] * 4),
        ("O", [2] * 6 + [3] * 4 + [4] * 3),
        ("I", [2] * 15 + [3] * 10 + [5] * 6),
    ],
)
def test_every_axis_of_a_group_once(name: str, orders: list[int]) -> None:
    axes = axes_of(symmetry_group(name))
    assert sorted(axis.order for axis in axes) == orders


@pytest.mark.parametrize("name", ["C4", "D2", "O", "I"])
def test_the_frame_that_the_map_was_moved_by_is_among_those_found(name: str) -> None:
    """The group's own axes, turned and moved off the centre."""
    operators = symmetry_group(name)
    turn = random_turns(1, 7)[0].double()
    center = torch.tensor([1.5, -2.0, 0.5], dtype=torch.float64)
    axes = [replace(a, direction=turn @ a.direction, point=center) for a in axes_of(operators)]

    def is_right(frame: Placement) -> bool:
        """It brings every operator of the map onto one of the group."""
        moved = frame.rotation @ turn @ operators @ turn.T @ frame.rotation.T
        nearest = torch.cdist(moved.flatten(1), operators.flatten(1)).amin(dim=1)
        return bool(nearest.max() < 1e-6)

    right = [frame for frame in frames_of(operators, axes) if is_right(frame)]
    assert right
    if name != "C4":  # along its axis a cyclic group has no center
        for frame in right:
            assert (frame.rotation @ center + frame.shift_pixel).norm() < 1e-9


def test_frames_an_operator_apart_are_one() -> None:
    operators = symmetry_group("D3")
    one = next(frames_of(operators, axes_of(operators)))
    other = replace(one, rotation=operators[4] @ one.rotation)
    assert same_frame(one, other, operators)
    turned = replace(one, rotation=random_turns(1, 1)[0].double() @ one.rotation)
    assert not same_frame(one, turned, operators)
