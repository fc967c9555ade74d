"""Two runs whose maps and poses differ by a known turn, shift and hand are seen to be the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.evaluate.two_runs import compare_runs
from cryospin.io.mrc import read_map, write_map
from cryospin.io.relion import write_new_particles
from cryospin.optics import CtfParameters, Optics
from cryospin.rotations.sampling import random_rotations
from cryospin.types import DensityMap, Poses
from cryospin.volumes.alignment import MapAlignment, apply_alignment, poses_after_alignment

BOX, PIXEL, COUNT = 32, 4.0, 60
RNG = np.random.default_rng(4)
POSES = Poses(
    random_rotations(COUNT, RNG).double(),
    torch.as_tensor(RNG.normal(size=(COUNT, 2)) * 4),
    torch.ones(COUNT).double(),
)


def blobs() -> DensityMap:
    """A map without symmetry, nor a mirror plane."""
    z, y, x = np.indices((BOX,) * 3) - BOX // 2
    places = ((0, 0, 0, 3.0), (6, 1, 0, 2.0), (0, 6, 3, 1.6), (-3, 2, -6, 2.4), (-4, -5, 2, 1.8))
    density = sum(
        np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / (2 * s**2)) for a, b, c, s in places
    )
    return DensityMap(torch.as_tensor(density, dtype=torch.float32), PIXEL)


def written(folder: Path, density: DensityMap, poses: Poses, first: int = 0) -> Path:
    folder.mkdir(parents=True)
    write_map(folder / "map.mrc", density)
    ones = torch.ones(COUNT)
    ctf = CtfParameters(
        1e4 * ones, 1e4 * ones, 0 * ones, 0 * ones, 300 * ones, 2.7 * ones, 0.1 * ones
    )
    write_new_particles(
        folder / "particles.star",
        [f"{first + number + 1:06d}@particles.mrcs" for number in range(COUNT)],
        (Optics("first", PIXEL, 300.0, 2.7, 0.1),),
        BOX,
        np.zeros(COUNT, dtype=int),
        ctf,
        poses,
    )
    return folder


@pytest.mark.parametrize("flipped", [False, True])
def test_the_same_result_in_another_frame(tmp_path: Path, flipped: bool) -> None:
    density = blobs()
    turn = random_rotations(1, np.random.default_rng(8))[0].double()
    moved = MapAlignment(turn, torch.tensor([4.0, -8.0, 4.0]).double(), flipped, 1.0)
    first = written(tmp_path / "first", density, POSES)
    second = written(
        tmp_path / "second", apply_alignment(density, moved), poses_after_alignment(POSES, moved)
    )
    found = compare_runs(first, second)
    assert found.problems == () and found.maps and found.poses and found.moved
    assert found.maps["hand_flipped"] is flipped
    assert found.maps["fsc_0.5_angstrom"] < 2.6 * PIXEL
    assert found.poses["particles"] == COUNT
    assert found.poses["rotation_error_degrees"]["median"] < 0.1
    assert found.poses["shift_error"]["median_angstrom"] < 0.1
    # it lies where the first one does
    ours = read_map(first / "map.mrc").values
    overlap = torch.corrcoef(torch.stack([ours.flatten(), found.moved.values.flatten()]))[0, 1]
    assert overlap > 0.95


def test_particles_that_only_one_has_do_not_count(tmp_path: Path) -> None:
    density = blobs()
    first = written(tmp_path / "first", density, POSES)
    second = written(tmp_path / "second", density, POSES, first=COUNT - 10)
    found = compare_runs(first, second)
    assert found.poses and found.poses["particles"] == 10


def test_what_cannot_be_compared_is_told(tmp_path: Path) -> None:
    density = blobs()
    first = written(tmp_path / "first", density, POSES)
    second = written(tmp_path / "second", density, POSES, first=1000)
    (second / "map.mrc").unlink()
    found = compare_runs(first, second)
    assert found.maps is None and found.moved is None and found.poses is None
    assert len(found.problems) == 2 and found.problems[0].startswith("The maps are not compared")


def test_a_run_that_did_not_converge_is_compared_too(tmp_path: Path) -> None:
    density = blobs()
    first = written(tmp_path / "first", density, POSES)
    second = tmp_path / "second"
    shutil.copytree(first, second / "not_converged")
    found = compare_runs(first, second)
    assert found.problems == () and found.poses and found.poses["particles"] == COUNT
