"""The point group of a map: named, its axes found, and never named where it is not there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from torch import Tensor

from cryospin.errors import BadDataError, UsageError
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.rotations.symmetry import symmetry_group
from cryospin.types import DensityMap
from cryospin.volumes.alignment import MapAlignment, apply_alignment
from cryospin.volumes.gridded import spherical_support
from cryospin.volumes.point_group import PointGroup, find_point_group
from phantoms import Blobs, random_turns

BOX, PIXEL = 48, 4.0


def symmetrical(name: str, seed: int) -> Blobs:
    """A few blobs in general places and all that the group's rotations make of them."""
    operators = symmetry_group(name)
    rng = np.random.default_rng(seed)
    count = max(2, 24 // len(operators))
    directions = rng.normal(size=(count, 3))
    radii = rng.uniform(5.0, 14.0, size=(count, 1))
    unit = torch.as_tensor(radii * directions / np.linalg.norm(directions, axis=1, keepdims=True))
    weights = torch.as_tensor(rng.uniform(0.5, 1.5, count))
    positions = torch.einsum("gij,nj->gni", operators, unit).flatten(0, 1)
    sigmas = torch.full((len(positions),), 2.0, dtype=torch.float64)
    return Blobs(positions, weights.repeat(len(operators)), sigmas)


def half_maps(blobs: Blobs, seed: int, noise: float = 0.5) -> tuple[DensityMap, DensityMap]:
    """Turned and off the centre, each with noise of its own, which leaves about 12 shells."""
    turn = random_turns(1, seed)[0].double()
    offset = torch.tensor([1.3, -0.8, 0.6], dtype=torch.float64)
    placed = replace(blobs, positions=blobs.positions @ turn.T + offset)
    density = placed.density(BOX).float()
    generator = torch.Generator().manual_seed(seed)
    inside = spherical_support(BOX, 18.0, 3.0) > 0.5
    scale = noise * density[inside].std()
    one, two = (
        DensityMap(density + scale * torch.randn(density.shape, generator=generator), PIXEL)
        for _ in range(2)
    )
    return one, two


def own_correlation(density: DensityMap, operator: Tensor) -> float:
    """Of the map with itself turned about the box centre, shells 1 to 8."""
    turned = apply_alignment(density, MapAlignment(operator, torch.zeros(3), False, 1.0))
    window = spherical_support(BOX, 18.0, 3.0)
    curve = fourier_shell_correlation(density.values * window, turned.values * window)
    return float(curve[:8].mean())


GROUPS = ["C2", "C3", "C7", "D2", "D5", "T", "O", "I"]


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_is_named_and_its_axes_are_brought_to_the_convention(name: str) -> None:
    seed = 3 + GROUPS.index(name)
    halves = half_maps(symmetrical(name, seed), seed)
    found = find_point_group(*halves)
    assert found.name == name, found.tried
    assert found.tried[-1].kept > 0.85
    mean = DensityMap(halves[0].values + halves[1].values, PIXEL)
    moved = apply_alignment(mean, found.alignment)
    # unturned, the map off its axes agrees with itself far less
    for operator in symmetry_group(name)[1:4]:
        assert own_correlation(moved, operator) > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_none_is_named_where_there_is_none(seed: int) -> None:
    blobs = Blobs.random(seed, count=20, spread=6.0)
    found = find_point_group(*half_maps(blobs, seed))
    assert found.name == "C1"
    assert torch.equal(found.alignment.rotation, torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize("name", ["C2", "C3"])
def test_a_symmetry_that_is_broken_is_not_named(name: str) -> None:
    """Most of one subunit is missing: alike at the lowest shells only."""
    blobs = symmetrical(name, 5)
    weights = blobs.weights.clone()
    weights[: 2 * len(weights) // len(symmetry_group(name)) // 3] = 0.0
    found = find_point_group(*half_maps(replace(blobs, weights=weights), 5))
    assert found.name != name


@pytest.mark.parametrize(("of_none", "of_c4", "name"), [(0.4, 0.3, "O"), (0.2, 0.8, "C4")])
@pytest.mark.parametrize("seed", range(1, 4))
def test_a_larger_group_that_is_nearly_as_good_is_preferred(
    seed: int, of_none: float, of_c4: float, name: str
) -> None:
    """As wrong poses leave it: all operators have lost something, some a little more."""
    parts = [(symmetrical("O", seed), 1.0), (symmetrical("C4", seed + 1), of_c4)]
    parts.append((symmetrical("C1", seed + 2), of_none))
    mixed = Blobs(
        torch.cat([blobs.positions for blobs, _ in parts]),
        torch.cat([weight * blobs.weights for blobs, weight in parts]),
        torch.cat([blobs.sigmas for blobs, _ in parts]),
    )
    found = find_point_group(*half_maps(mixed, seed))
    assert found.name == found.tried[-1].name == name, found.tried


@pytest.mark.parametrize("shape", ["ball", "tube", "noise"])
def test_what_agrees_with_itself_any_way_round_has_no_group(shape: str) -> None:
    blobs = Blobs(
        torch.zeros(1, 3, dtype=torch.float64),
        torch.ones(1, dtype=torch.float64),
        torch.full((1,), 6.0, dtype=torch.float64),
    )
    if shape == "tube":
        along = torch.linspace(-12, 12, 25, dtype=torch.float64)
        line = torch.stack([0 * along, 0 * along, along], dim=1)
        # heavier towards one end
        blobs = Blobs(line, torch.linspace(0.5, 1.5, 25).double(), torch.full((25,), 3.0).double())
    if shape == "noise":
        blobs = replace(blobs, weights=torch.full((1,), 1e-9, dtype=torch.float64))
    halves = half_maps(blobs, 2, noise=1.0)
    assert find_point_group(*halves).name == "C1"


def test_one_map_alone_needs_a_resolution() -> None:
    half1, half2 = half_maps(symmetrical("C3", 9), 9)
    both = DensityMap(0.5 * (half1.values + half2.values), PIXEL)
    with pytest.raises(UsageError, match="both half-maps, or --resolution"):
        find_point_group(both)
    assert find_point_group(both, max_resolution_angstrom=20.0).name == "C3"
    asymmetric, _ = half_maps(Blobs.random(1, count=20, spread=6.0), 1)
    assert find_point_group(asymmetric, max_resolution_angstrom=20.0).name == "C1"


def test_maps_that_cannot_be_compared_are_refused() -> None:
    half1, half2 = half_maps(symmetrical("C3", 9), 9)
    with pytest.raises(BadDataError, match="pad to an even box"):
        odd = DensityMap(half1.values[1:, 1:, 1:], PIXEL)
        find_point_group(odd, odd)
    with pytest.raises(BadDataError, match="cannot be compared"):
        find_point_group(half1, DensityMap(half2.values, 2 * PIXEL))


def test_the_same_maps_give_the_same_answer() -> None:
    halves = half_maps(symmetrical("C4", 6), 6)
    first, second = find_point_group(*halves), find_point_group(*halves)
    assert isinstance(first, PointGroup) and first.tried == second.tried
    distance = roma.rotmat_geodesic_distance(first.alignment.rotation, second.alignment.rotation)
    assert float(distance) == 0.0
