"""How evenly views cover the sphere, against distributions whose answers are known."""

from __future__ import annotations

import pytest
import torch

from cryospin.reconstruct.coverage import directions_of_half_the_views, sampling_compensation
from cryospin.rotations.symmetry import symmetry_group
from cryospin.simulate.poses import draw_poses
from phantoms import random_turns

IDENTITY = torch.eye(3)[None]


def drawn(views: str, count: int = 4000) -> torch.Tensor:
    poses = draw_poses(count, max_shift_pixel=0, pixel_size_angstrom=1, views=views, seed=1)
    return poses.rotations.float()


def test_share_of_directions_that_hold_half_the_views() -> None:
    assert directions_of_half_the_views(random_turns(20_000, 1)) == pytest.approx(0.48, abs=0.02)
    one_view = torch.eye(3).expand(50, 3, 3)
    assert directions_of_half_the_views(one_view) == pytest.approx(1 / 12)


@pytest.mark.parametrize("count", [100, 300, 600, 5000])
def test_even_views_do_not_look_preferred(count: int) -> None:
    for seed in range(5):
        assert directions_of_half_the_views(random_turns(count, seed)) > 0.27


@pytest.mark.parametrize("count", [600, 2000])  # fewer views cannot tell
def test_preferred_views_do(count: int) -> None:
    assert directions_of_half_the_views(drawn("equator", count)) < 0.27
    assert directions_of_half_the_views(drawn("pole", count)) < 0.15


def test_compensation_of_known_distributions() -> None:
    assert sampling_compensation(random_turns(20_000, 2).float(), IDENTITY) > 0.98
    # views from all sides of one axis: Baldwin and Lyumkis give 0.81
    angles = torch.rand(4000, generator=torch.Generator().manual_seed(3)) * 2 * torch.pi
    zero, one = torch.zeros_like(angles), torch.ones_like(angles)
    views = torch.stack([angles.cos(), angles.sin(), zero], 1)
    across = torch.stack([-angles.sin(), angles.cos(), zero], 1)
    axis = torch.stack([zero, zero, one], 1)
    side = torch.stack([across, axis, views], 1)
    assert sampling_compensation(side, IDENTITY) == pytest.approx(0.81, abs=0.03)
    # all from one side: nothing is known along it
    assert sampling_compensation(torch.eye(3).expand(4000, 3, 3), IDENTITY) < 0.02


def test_symmetry_fills_in() -> None:
    """The octahedron looks at itself from three axes."""
    one_view = drawn("pole")
    alone = sampling_compensation(one_view, IDENTITY)
    cubic = torch.as_tensor(symmetry_group("O"), dtype=torch.float32)
    assert sampling_compensation(one_view, cubic) > max(0.6, 2 * alone)
