from __future__ import annotations

import numpy as np
import torch

from cryospin.simulate.poses import draw_poses


def test_views_are_uniform_rotations() -> None:
    rotations = draw_poses(4000, max_shift_pixel=0.0, pixel_size_angstrom=1.0, seed=1).rotations
    assert torch.allclose(rotations @ rotations.mT, torch.eye(3).double(), atol=1e-12)
    assert torch.allclose(torch.linalg.det(rotations), torch.ones(4000).double())
    # under Haar measure each entry has mean 0 and variance 1/3: five standard errors
    assert rotations.mean(dim=0).abs().max() < 5 * np.sqrt(1 / 3 / 4000)
    assert (rotations.square().mean(dim=0) - 1 / 3).abs().max() < 5 * np.sqrt(4 / 45 / 4000)


def test_equator_holds_nine_views_in_ten() -> None:
    poses = draw_poses(4000, max_shift_pixel=0.0, pixel_size_angstrom=1.0, views="equator", seed=1)
    # the view direction in the molecule's frame is the last row
    latitude = torch.rad2deg(torch.asin(poses.rotations[:, 2, 2])).abs()
    near = (latitude < 20.0).double().mean()
    assert abs(near - 0.9) < 5 * np.sqrt(0.9 * 0.1 / 4000)
    # and none of the rest is missing a hemisphere
    assert (poses.rotations[:, 2, 2] > 0.5).any() and (poses.rotations[:, 2, 2] < -0.5).any()


def test_pole_holds_nine_views_in_ten() -> None:
    poses = draw_poses(4000, max_shift_pixel=0.0, pixel_size_angstrom=1.0, views="pole", seed=1)
    height = poses.rotations[:, 2, 2]
    inside = height > np.cos(np.radians(25.0))
    assert abs(inside.double().mean() - 0.9) < 5 * np.sqrt(0.9 * 0.1 / 4000)
    # even within the cap, and outside it
    middle = 0.5 * (1 + np.cos(np.radians(25.0)))
    assert abs((height[inside] > middle).double().mean() - 0.5) < 5 * np.sqrt(0.25 / 3600)
    assert height.min() < -0.9


def test_cones_hold_eight_views_in_ten() -> None:
    poses = draw_poses(6000, max_shift_pixel=0.0, pixel_size_angstrom=1.0, views="cones", seed=4)
    views = poses.rotations[:, 2].numpy()
    near = views @ views.T > np.cos(np.radians(30.0))
    left, inside = np.ones(len(views), bool), np.zeros(len(views), bool)
    for _ in range(3):
        # most views are within 30 degrees of a cone's middle
        middle = np.argmax(near[:, left].sum(axis=1))
        members = near[middle]
        assert members.mean() > 0.8 * 0.8 / 3
        inside |= members
        left &= ~members
    # by chance a view outside is among them: the three caps are a fifth of the sphere
    assert 0.78 < inside.mean() < 0.86
    assert (views[left].max(axis=0) > 0.9).all() and (views[left].min(axis=0) < -0.9).all()


def test_shifts_fill_the_square_in_angstrom() -> None:
    shifts = draw_poses(4000, max_shift_pixel=3.0, pixel_size_angstrom=2.0, seed=1).shifts_angstrom
    assert shifts.abs().max() <= 6.0
    assert (shifts.abs().amax(dim=0) > 5.9).all()
    assert (shifts.var(dim=0) - 12.0).abs().max() < 0.8


def test_a_particle_does_not_depend_on_how_many_there_are() -> None:
    few, many = (
        draw_poses(n, max_shift_pixel=3.0, pixel_size_angstrom=2.0, seed=5) for n in (10, 50)
    )
    assert torch.equal(few.rotations, many.rotations[:10])
    assert torch.equal(few.shifts_angstrom, many.shifts_angstrom[:10])
    other = draw_poses(10, max_shift_pixel=3.0, pixel_size_angstrom=2.0, seed=6)
    assert not torch.allclose(few.rotations, other.rotations)
