"""RELION undoes exactly the aberrations and distortions that our formulas make."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.io.mrc import StackWriter, read_map
from cryospin.io.relion import write_new_particles
from cryospin.optics import CtfParameters, Optics
from cryospin.rotations.sampling import random_rotations
from cryospin.types import Poses
from distorted_images import BOX, KINDS, PIXEL, exact_images, exact_map

COUNT = 300

pytestmark = pytest.mark.skipif(
    shutil.which("relion_reconstruct") is None,
    reason="needs RELION on the PATH (Debian package relion)",
)


def reconstructed(folder: Path, seen: Optics, told: Optics) -> torch.Tensor:
    """RELION's map from images through the optics `seen`, in a table that tells of others."""
    generator = torch.Generator().manual_seed(5)
    ones = torch.ones(COUNT, dtype=torch.float64)
    u = 5e3 + 7e3 * torch.rand(COUNT, generator=generator, dtype=torch.float64)
    ctf = CtfParameters(u, u - 2e3, 30 * ones, 0 * ones, 300 * ones, 2.7 * ones, 0.1 * ones)
    shifts = 12 * torch.rand(COUNT, 2, generator=generator, dtype=torch.float64) - 6
    rotations = random_rotations(COUNT, np.random.default_rng(8)).double()
    poses, group = Poses(rotations, shifts, ones), np.zeros(COUNT, int)
    with StackWriter(folder / "a.mrcs", BOX, PIXEL, COUNT) as writer:
        writer.append(exact_images((seen,), group, ctf, poses).numpy())
    # what the table says of shifts is about the images as they are; a round lens keeps it
    names = [f"{i + 1:06d}@a.mrcs" for i in range(COUNT)]
    inverse = torch.from_numpy(np.linalg.inv(told.magnification_matrix)).mT
    ours = replace(poses, shifts_angstrom=(inverse @ shifts[..., None])[..., 0])
    write_new_particles(folder / "a.star", names, (told,), BOX, group, ctf, ours)
    command = ["relion_reconstruct", "--i", "a.star", "--o", "map.mrc", "--ctf"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return read_map(folder / "map.mrc").values


@pytest.mark.parametrize("kind", KINDS)
def test_relion_takes_our_aberrations_for_its_own(tmp_path: Path, kind: str) -> None:
    plain = Optics("plain", PIXEL, 300.0, 2.7, 0.1)
    seen, truth = replace(plain, **KINDS[kind]), exact_map().values
    shells = slice(1, 11)
    found = fourier_shell_correlation(reconstructed(tmp_path, seen, seen), truth)[shells]
    blind = fourier_shell_correlation(reconstructed(tmp_path, seen, plain), truth)[shells]
    # noise there is none; 0.99 is what gridding leaves
    assert found.min() > 0.99
    assert 1 - blind.min() > 5 * (1 - found.min())
