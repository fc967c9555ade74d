"""Grids of orientations: even, complete, and folded by half-turns and symmetry without a gap."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from cryospin.rotations.grid import (
    VIEW_HALF_TURNS,
    OrientationGrid,
    quaternions_of,
    rotations_of_views,
)
from cryospin.rotations.healpix import healpix_directions
from cryospin.rotations.symmetry import symmetry_group
from phantoms import random_turns

NSIDE, IN_PLANE = 3, 18
GRID = OrientationGrid.of(NSIDE, IN_PLANE)


def every_rotation(grid: OrientationGrid) -> torch.Tensor:
    return (VIEW_HALF_TURNS[:, None] @ grid.base).reshape(-1, 3, 3).double()


def nearest_degrees(rotations: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Angle from each rotation to the nearest of the grid."""
    cosines = (torch.einsum("nij,gij->ng", rotations.double(), grid.double()) - 1) / 2
    return torch.rad2deg(torch.acos(cosines.amax(1).clamp(-1, 1)))


def test_half_turns_are_a_group() -> None:
    for a in VIEW_HALF_TURNS:
        assert torch.linalg.det(a) == 1
        for b in VIEW_HALF_TURNS:
            assert (a @ b == VIEW_HALF_TURNS).all(dim=(1, 2)).sum() == 1


@pytest.mark.parametrize("nside, in_plane", [(1, 6), (2, 12), (3, 18), (4, 24)])
def test_counts_every_view_and_angle_once(nside: int, in_plane: int) -> None:
    grid = OrientationGrid.of(nside, in_plane)
    assert len(grid.base) * 4 == 12 * nside**2 * in_plane
    rotations = every_rotation(grid)
    identity = torch.eye(3, dtype=torch.float64).expand_as(rotations)
    torch.testing.assert_close(rotations @ rotations.mT, identity, rtol=0, atol=1e-6)
    assert (torch.linalg.det(rotations) > 0).all()
    cosines = (torch.einsum("aij,bij->ab", rotations, rotations) - 1) / 2
    cosines.fill_diagonal_(-1)
    # float32 grids: below half the in-plane step no two are alike
    assert torch.rad2deg(torch.acos(cosines.max().clamp(max=1))) > 0.45 * 360 / in_plane


def test_views_are_those_of_healpix() -> None:
    views = every_rotation(GRID)[:, 2]
    known = torch.as_tensor(healpix_directions(NSIDE))
    nearest = (views @ known.T).max(dim=1)
    # a cosine loses angles below 0.02 degrees in float32
    assert nearest.values.min() > 1 - 1e-6
    assert (torch.bincount(nearest.indices, minlength=len(known)) == IN_PLANE).all()


def test_covers_all_orientations() -> None:
    """The hole of a grid of spacing s in view and in plane: the diagonal of a cell, halved."""
    away = nearest_degrees(random_turns(3000, seed=1), every_rotation(GRID))
    step = max(GRID.spacing_degrees, 360 / IN_PLANE)
    assert away.max() < 0.5 * 3**0.5 * 1.15 * step
    assert away.mean() < 0.55 * step


def test_spacing_is_the_distance_between_views() -> None:
    for nside in (2, 4):
        views = torch.as_tensor(healpix_directions(nside))
        cosines = (views @ views.T).fill_diagonal_(-1)
        nearest = torch.rad2deg(torch.acos(cosines.amax(1))).median()
        assert float(nearest) == pytest.approx(
            OrientationGrid.of(nside, 6).spacing_degrees, rel=0.1
        )


def test_a_turned_grid_is_as_even() -> None:
    turn = random_turns(1, seed=2)[0].float()
    turned = GRID.turned(turn)
    assert turned.spacing_degrees == GRID.spacing_degrees
    torch.testing.assert_close(turned.base, GRID.base @ turn, rtol=0, atol=1e-6)
    step = max(GRID.spacing_degrees, 360 / IN_PLANE)
    assert nearest_degrees(random_turns(1000, seed=3), every_rotation(turned)).max() < step


def test_members_by_index() -> None:
    half_turn, index = torch.tensor([[0, 3], [2, 1]]), torch.tensor([[5, 5], [0, 7]])
    found = GRID.rotations(half_turn, index)
    assert found.shape == (2, 2, 3, 3)
    assert torch.equal(found[0, 0], GRID.base[5])
    assert torch.equal(found[1, 0], VIEW_HALF_TURNS[2] @ GRID.base[0])


@pytest.mark.parametrize("symmetry", ["C1", "C2", "C3", "C7", "D2", "D7", "T", "O", "I"])
@pytest.mark.parametrize("turned", [False, True])
def test_asymmetric_unit_covers_everything(symmetry: str, turned: bool) -> None:
    """Every rotation is D R S for some R kept, to within the hole of the whole grid and a bit:
    at the unit's border a class may be held by a member whose neighbours are not."""
    operators = symmetry_group(symmetry).float()
    grid = OrientationGrid.of(4, 24)
    grid = grid.turned(random_turns(1, seed=4)[0].float()) if turned else grid
    unit = grid.asymmetric_unit(operators)
    assert unit.spacing_degrees == grid.spacing_degrees
    everything = torch.einsum("gij,sjk->gsik", every_rotation(unit), operators.double())
    away = nearest_degrees(random_turns(400, seed=5), everything.reshape(-1, 3, 3))
    assert away.max() < 1.15 * max(grid.spacing_degrees, 15.0)


@pytest.mark.parametrize("symmetry", ["C2", "C3", "C7", "D2", "D7", "T", "O", "I"])
def test_asymmetric_unit_is_as_small_as_it_may_be(symmetry: str) -> None:
    """1/|G| of the grid, and the members on the border."""
    operators = symmetry_group(symmetry).float()
    grid = OrientationGrid.of(4, 24).turned(random_turns(1, seed=6)[0].float())
    share = len(grid.asymmetric_unit(operators).base) / len(grid.base)
    assert 0.8 / len(operators) < share < 1.25 / len(operators)


def test_without_symmetry_nothing_changes() -> None:
    assert GRID.asymmetric_unit(symmetry_group("C1").float()) is GRID


def test_rotations_of_views_look_along_them() -> None:
    generator = np.random.default_rng(7)
    directions = torch.as_tensor(generator.normal(size=(50, 3)))
    directions = torch.nn.functional.normalize(directions, dim=-1)
    directions = torch.cat([directions, torch.eye(3).double(), -torch.eye(3).double()])
    rotations = rotations_of_views(directions)
    torch.testing.assert_close(rotations[:, 2], directions, rtol=0, atol=1e-12)
    identity = torch.eye(3).double().expand_as(rotations)
    torch.testing.assert_close(rotations @ rotations.mT, identity, rtol=0, atol=1e-12)
    assert (torch.linalg.det(rotations) > 0).all()


def test_quaternions_are_those_of_the_rotations() -> None:
    rotations = random_turns(200, seed=4)
    quaternions = quaternions_of(rotations)
    torch.testing.assert_close(roma.unitquat_to_rotmat(quaternions), rotations)
    half_turns = quaternions_of(VIEW_HALF_TURNS)
    torch.testing.assert_close(roma.unitquat_to_rotmat(half_turns), VIEW_HALF_TURNS)
