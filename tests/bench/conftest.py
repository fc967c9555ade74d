"""A small data set with its truth, simulated once, and an explorer watched on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.bench.datasets import Conditions, Dataset
from cryospin.bench.structures import Structure
from cryospin.bench.watched import Watched
from cryospin.io.relion import read_particles
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf
from phantoms import random_turns

BOX, PIXEL, COUNT, SNR = 32, 5.0, 150, 1.0


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("simulated")
    poses = draw_poses(COUNT, max_shift_pixel=1.0, pixel_size_angstrom=PIXEL, seed=1)
    simulate(
        chain_molecule(1), poses, Microscope(BOX, PIXEL, SNR, draw_ctf(COUNT, 1), seed=1), folder
    )
    return Dataset(folder, Structure("chain"), Conditions(COUNT, BOX, SNR, 1.0), 1, PIXEL)


def watched_poses(dataset: Dataset, degrees: tuple[float, ...], heads: int = 3) -> Watched:
    """Epochs whose poses are off by `degrees`, in a frame of their own; head i of image n has
    the pose of the last epoch where i = n modulo heads, and a random one elsewhere."""
    truth = read_particles(dataset.truth)
    assert truth.poses is not None
    frame = random_turns(1, seed=9)[0]
    true = truth.poses.rotations.double() @ frame
    found = torch.stack(
        [random_turns(COUNT, i, error) @ true for i, error in enumerate(degrees, 1)]
    )
    candidates = random_turns(COUNT * heads, seed=5).view(COUNT, heads, 3, 3).clone()
    rows = torch.arange(COUNT)
    candidates[rows, rows % heads] = found[-1]
    shifts = (truth.poses.shifts_angstrom / PIXEL).repeat(len(degrees), 1, 1)
    return Watched(
        read_particles(dataset.particles).uids,
        np.arange(1, len(degrees) + 1),
        10.0 * np.arange(1, len(degrees) + 1),
        ("encoder",) * len(degrees),
        found,
        shifts,
        np.full((len(degrees), heads), 1 / heads),
        np.linspace(2, 1, len(degrees)),
        candidates,
        {"encoder": 1000, "volume": 200},
    )


@pytest.fixture(scope="session")
def watched(dataset: Dataset) -> Watched:
    return watched_poses(dataset, (90.0, 20.0, 2.0))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files whose names are all that is looked at."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("6VXX.pdb.gz", "2cg9.cif", "twice.pdb", "twice.cif.gz", "notes.txt"):
        (folder / name).write_bytes(b"")
    return folder
