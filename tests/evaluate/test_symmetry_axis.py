"""Symmetry mates about an axis the evaluation is not told."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from cryospin.evaluate.symmetry_axis import align_about_any_axis
from cryospin.rotations.align import align_rotations, mirror_rotations
from cryospin.rotations.symmetry import symmetry_group

COUNT, ERROR_DEGREES = 250, 1.0


def turned_about(group: str, seed: int, flipped: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """True rotations, and ones at random mates about a tilted axis, a degree off, in a frame of
    their own."""
    torch.manual_seed(seed)
    true = roma.random_rotmat(COUNT).double()
    frame, axis_frame = roma.random_rotmat(2).double()
    mates = axis_frame.T @ torch.as_tensor(symmetry_group(group)).double() @ axis_frame
    chosen = mates[torch.randint(len(mates), (COUNT,))]
    noise = roma.rotvec_to_rotmat(torch.randn(COUNT, 3).double() * np.radians(ERROR_DEGREES) / 2)
    estimated = noise @ true @ chosen @ frame
    return (mirror_rotations(estimated) if flipped else estimated), true


@pytest.mark.parametrize(("group", "flipped"), [("C2", False), ("C3", True), ("C7", False)])
def test_the_axis_is_found(group: str, flipped: bool) -> None:
    estimated, true = turned_about(group, 3, flipped)
    assert (align_rotations(estimated, true, group).errors_degrees > 20).double().mean() > 0.3
    found = align_about_any_axis(estimated, true, group)
    assert found.errors_degrees.median() < 1.3 * ERROR_DEGREES
    assert found.errors_degrees.max() < 10


def test_wrong_poses_stay_wrong() -> None:
    torch.manual_seed(5)
    estimated, true = roma.random_rotmat(2 * COUNT).double().split(COUNT)
    assert align_about_any_axis(estimated, true, "C3").errors_degrees.median() > 45


def test_an_axis_along_z_is_left_there() -> None:
    torch.manual_seed(6)
    true = roma.random_rotmat(COUNT).double()
    mates = torch.as_tensor(symmetry_group("C3")).double()[torch.randint(3, (COUNT,))]
    found = align_about_any_axis(true @ mates, true, "C3")
    assert found.errors_degrees.max() < 1e-3
