"""How sure a pose is: as often as it says, the pose is right."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from cryospin.bench.oracle import scaled_truth
from cryospin.explore.pose_weight import weight_near
from cryospin.explore.posterior import best_hypotheses
from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.image_batch import ImageBatch
from cryospin.io.relion import read_particles
from cryospin.kernels import margin_for, slice_volume
from cryospin.particles.prepare import prepare_particles
from cryospin.rotations.grid import OrientationGrid
from cryospin.rotations.symmetry import symmetry_group
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf
from phantoms import Blobs, angles_degrees, random_turns

BOX, PIXEL, COUNT, RADIUS, DEGREES = 48, 4.0, 400, 9.0, 15.0
SETTING = Setting(torch.eye(3)[None], 1e-3)  # all are centred


def best_pose(volume: Tensor, images: ImageBatch) -> Tensor:
    """Of the points of a grid."""
    grid = OrientationGrid.of(6, 36)
    slices = slice_volume(volume, grid.base, images.disk)
    found = best_hypotheses(grid, slices, images, torch.zeros(1, 2), 1)
    return found.rotations[:, 0]


@pytest.mark.parametrize("mask_angstrom", [None, 110.0])
@pytest.mark.parametrize("snr", [0.03, 0.1])
def test_so_many_poses_are_right(tmp_path: Path, snr: float, mask_angstrom: float | None) -> None:
    """In the true map, whatever the mask leaves of the box."""
    molecule = chain_molecule(3, domains=3, residues_per_domain=60)
    poses = draw_poses(COUNT, max_shift_pixel=0.0, pixel_size_angstrom=PIXEL, seed=4)
    simulate(
        molecule, poses, Microscope(BOX, PIXEL, snr, draw_ctf(COUNT, seed=4), seed=4), tmp_path
    )
    truth = read_particles(tmp_path / "truth.star")
    particles = prepare_particles(truth, mask_diameter_angstrom=mask_angstrom)
    rotations, shifts = truth.poses.rotations, torch.zeros(COUNT, 2)
    volume = scaled_truth(tmp_path / "truth.mrc", rotations, shifts, particles)
    images = particles.images(RADIUS)
    found = best_pose(volume, images)
    right = (angles_degrees(found, rotations) < DEGREES).double()
    weight = weight_near(volume, images, found, SETTING, DEGREES)
    assert 0.1 < right.mean() < 0.95, "poses that are all right or all wrong tell nothing"
    assert float(weight.mean()) == pytest.approx(float(right.mean()), abs=0.07)
    sure = weight > weight.median()
    assert right[sure].mean() > right[~sure].mean() + 0.1


def test_a_mate_is_as_good() -> None:
    """Poses that a symmetry makes equal share their weight, and have it together."""
    operators = symmetry_group("C2").float()
    half = Blobs.random(1, spread=3.5, sigma=1.0)
    turned = half.positions @ operators[1].double().T
    both = Blobs(torch.cat([half.positions, turned]), half.weights.repeat(2), half.sigmas.repeat(2))

    disk = FourierDisk.of(32, 8.0)
    volume = both.volume(margin_for(8.0), 32).to(torch.complex64)
    rotations = random_turns(20, 5).float()
    ctf = torch.full((20, len(disk)), 30.0)
    images = ImageBatch(ctf * slice_volume(volume, rotations, disk), ctf, disk)
    alone = weight_near(volume, images, rotations, SETTING, 15.0)
    together = weight_near(volume, images, rotations, Setting(operators, 1e-3), 15.0)
    assert alone.median() == pytest.approx(0.5, abs=0.1)
    assert together.min() > 0.99
