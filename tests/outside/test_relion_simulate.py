"""RELION makes the true map from what we simulate and the poses we say it has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.io.mrc import read_map
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf

BOX, PIXEL, COUNT = 32, 7.0, 1500

pytestmark = pytest.mark.skipif(
    shutil.which("relion_reconstruct") is None,
    reason="needs RELION on the PATH (Debian package relion)",
)


def test_relion_reconstructs_the_truth(tmp_path: Path) -> None:
    poses = draw_poses(COUNT, max_shift_pixel=2.0, pixel_size_angstrom=PIXEL, seed=1)
    molecule = chain_molecule(1, domains=4, residues_per_domain=60)
    simulate(molecule, poses, Microscope(BOX, PIXEL, 100.0, draw_ctf(COUNT, 1)), tmp_path)
    subprocess.run(
        ["relion_reconstruct", "--i", "truth.star", "--o", "relion.mrc", "--ctf"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    found, truth = (read_map(tmp_path / name).values for name in ("relion.mrc", "truth.mrc"))
    correlation = fourier_shell_correlation(found, truth)
    # the other hand, transposed axes, the wrong sign of shift or CTF all end far below; what
    # is missing from 1 is noise, gridding, and aliasing near Nyquist
    assert correlation[: BOX // 4].min() > 0.99
    assert correlation.min() > 0.9
    # protein bright and on the same scale: not inverted
    assert float((found * truth).sum()) > 0
