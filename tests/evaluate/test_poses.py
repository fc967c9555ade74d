"""Shift errors after the origin gauge."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from cryospin.evaluate.poses import shift_errors
from cryospin.types import Poses


def poses_with_origin(count, origin, noise, rng):
    rotations = torch.as_tensor(Rotation.random(count, rng=rng).as_matrix())
    true = torch.as_tensor(rng.normal(size=(count, 2)) * 5)
    errors = torch.as_tensor(rng.normal(size=(count, 2)) * noise)
    moved = true + (rotations @ origin)[:, :2] + errors
    ones = torch.ones(count)
    return Poses(rotations, moved, ones), Poses(rotations, true, ones), errors


def test_origin_is_no_error():
    origin = torch.tensor([4.0, -7.0, 2.0]).double()
    estimated, true, _ = poses_with_origin(50, origin, 0.0, np.random.default_rng(0))
    found = shift_errors(estimated, true, torch.zeros(50))
    torch.testing.assert_close(found.origin_angstrom, origin)
    assert found.errors_angstrom.max() < 1e-9


def test_wild_shifts_do_not_pull_the_origin():
    origin = torch.tensor([1.0, 2.0, 3.0]).double()
    estimated, true, errors = poses_with_origin(500, origin, 0.5, np.random.default_rng(1))
    estimated.shifts_angstrom[:100] += 60.0
    found = shift_errors(estimated, true, torch.zeros(500))
    assert (found.origin_angstrom - origin).norm() < 0.15
    torch.testing.assert_close(
        found.errors_angstrom[100:], errors[100:].norm(dim=1), atol=0.15, rtol=0
    )


def test_views_that_leave_a_direction_open():
    """All views along z: o_z moves nothing and is taken as zero."""
    angles = np.linspace(0, 300, 30)[:, None]
    flat = torch.as_tensor(Rotation.from_euler("z", angles, degrees=True).as_matrix())
    moved = (flat @ torch.tensor([3.0, 1.0, 9.0]).double())[:, :2]
    estimated = Poses(flat, moved, torch.ones(30))
    true = Poses(flat, torch.zeros_like(moved), torch.ones(30))
    found = shift_errors(estimated, true, torch.zeros(30))
    torch.testing.assert_close(found.origin_angstrom, torch.tensor([3.0, 1.0, 0.0]).double())


def test_all_lost_is_still_answered():
    origin = torch.zeros(3).double()
    estimated, true, _ = poses_with_origin(20, origin, 1.0, np.random.default_rng(3))
    found = shift_errors(estimated, true, torch.full((20,), 170.0))
    assert torch.isfinite(found.errors_angstrom).all()
