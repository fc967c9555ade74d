"""A few clear particles, for runs that take seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf

BOX, PIXEL, COUNT = 24, 6.0, 150


@pytest.fixture(scope="package")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    poses = draw_poses(COUNT, max_shift_pixel=0.5, pixel_size_angstrom=PIXEL, seed=1)
    microscope = Microscope(BOX, PIXEL, 2.0, draw_ctf(COUNT, 1), seed=1)
    simulate(chain_molecule(1), poses, microscope, folder)
    return folder / "particles.star"
