"""The split into halves: by name, balanced, and never between two picks of one molecule."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.optics import CtfParameters, Optics
from cryospin.particles.half_sets import split_half_sets
from cryospin.types import ParticleStack

PIXEL = 2.0


def stack_of(
    count: int,
    micrographs: np.ndarray | None = None,
    coordinates_angstrom: np.ndarray | None = None,
) -> ParticleStack:
    zero = torch.zeros(count)
    rows = np.arange(count)
    return ParticleStack(
        source=Path("none.star"),
        table=None,
        rows=rows,
        uids=tuple(f"{i:06d}@none.mrcs" for i in rows),
        files=(Path("none.mrcs"),),
        file_index=np.zeros(count, np.int64),
        slice_index=rows,
        box=32,
        pixel_size_angstrom=PIXEL,
        optics=(Optics("one", PIXEL, 300.0, 2.7, 0.1),),
        optics_group=np.zeros(count, np.int64),
        ctf=CtfParameters(*[zero] * 7),
        micrographs=micrographs,
        coordinates_angstrom=coordinates_angstrom,
    )


def crowded(count: int, seed: int) -> ParticleStack:
    """Ten micrographs of 400 pixels on which many particles touch."""
    rng = np.random.default_rng(seed)
    names = np.array([f"m{i}.mrc" for i in rng.integers(10, size=count)])
    return stack_of(count, names, PIXEL * rng.uniform(0, 400, (count, 2)))


def test_halves_are_one_and_two_and_equal() -> None:
    for count in (1, 2, 999, 1000):
        half = split_half_sets(stack_of(count), 0, 100.0)
        assert half.dtype == np.int64 and set(half) <= {1, 2}
        assert abs((half == 1).sum() - (half == 2).sum()) == count % 2


def test_depends_on_names_not_on_rows() -> None:
    stack = crowded(500, seed=1)
    half = split_half_sets(stack, 7, 30.0)
    order = np.random.default_rng(2).permutation(500)
    np.testing.assert_array_equal(split_half_sets(stack.select(order), 7, 30.0), half[order])
    np.testing.assert_array_equal(split_half_sets(stack, 7, 30.0), half)


def test_the_seed_deals_anew() -> None:
    stack = stack_of(1000)
    first, second = (split_half_sets(stack, seed, 30.0) for seed in (0, 1))
    # half agree by chance, +- 16
    assert 400 < (first == second).sum() < 600


def test_neighbours_stay_together() -> None:
    stack = crowded(500, seed=3)
    distance = 30.0
    half = split_half_sets(stack, 0, distance)
    positions = stack.coordinates_angstrom
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    together = (stack.micrographs[:, None] == stack.micrographs[None]) & (apart < distance)
    assert together.sum() > 500 + 100, "the example has neighbours"
    first, second = np.nonzero(together)
    np.testing.assert_array_equal(half[first], half[second])
    # chains of neighbours make groups of up to a few dozen; halves differ by less than one
    assert abs((half == 1).mean() - 0.5) < 0.05


def test_the_same_place_on_two_micrographs_is_two_molecules() -> None:
    names = np.array([f"m{i}.mrc" for i in range(200)])
    half = split_half_sets(stack_of(200, names, np.full((200, 2), 50.0)), 0, 1000.0)
    assert (half == 1).sum() == 100


def test_segments_of_a_tube_stay_together() -> None:
    """However far apart, and with loose particles among them."""
    tubes = np.repeat(np.arange(30) - 1, 10)
    stack = replace(stack_of(300), tubes=np.random.default_rng(5).permutation(tubes))
    half = split_half_sets(stack, 0, 1.0)
    for tube in range(29):
        assert len({*half[stack.tubes == tube]}) == 1
    loose = half[stack.tubes == -1]
    assert 0 < (loose == 1).sum() < 10, "those of no tube are dealt one by one"
    assert abs((half == 1).sum() - (half == 2).sum()) <= 10


def test_a_particle_at_an_unknown_place_is_its_own() -> None:
    stack = crowded(100, seed=6)
    stack.coordinates_angstrom[::2, 1] = np.nan
    half = split_half_sets(stack, 0, 1e6)
    assert 10 < (half[::2] == 1).sum() < 40


def test_distance_is_in_angstrom() -> None:
    names = np.array(["m.mrc"] * 2)
    stack = stack_of(2, names, np.array([[20.0, 20.0], [40.0, 20.0]]))
    together = [split_half_sets(stack, seed, 21.0) for seed in range(8)]
    assert all(half[0] == half[1] for half in together)
    apart = [split_half_sets(stack, seed, 19.0) for seed in range(8)]
    assert all(half[0] != half[1] for half in apart)


@pytest.mark.parametrize("missing", ["micrographs", "coordinates_angstrom"])
def test_without_coordinates_every_particle_is_its_own(missing: str) -> None:
    stack = replace(crowded(100, seed=4), **{missing: None})
    half = split_half_sets(stack, 0, 1e6)
    assert (half == 1).sum() == 50


def test_halves_are_those_of_every_earlier_version() -> None:
    """Runs are repeated by their seed, so the bits are pinned."""
    for stack, first, digest in (
        (stack_of(1001), [2, 2, 1, 1, 1, 2, 2, 1], "11727cd4767da310"),
        (crowded(800, seed=4), [2, 2, 1, 1, 2, 2, 1, 1], "23ca75ce1dee292b"),
    ):
        half = split_half_sets(stack, 7, 30.0)
        assert half[:8].tolist() == first
        assert hashlib.sha256(half.tobytes()).hexdigest().startswith(digest)
