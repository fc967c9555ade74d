"""Global assignment: from no idea of a pose to the right one."""

from __future__ import annotations

import pytest
import torch

from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.refine.assign import GlobalAssignment
from cryospin.rotations.grid import OrientationGrid
from cryospin.rotations.symmetry import symmetry_group
from cryospin.volumes.gridded import map_to_volume
from phantoms import Blobs, PlantedParticles, angles_degrees

BOX, RADIUS = 32, 9.0
DISK = FourierDisk.of(BOX, RADIUS)
BLOBS = Blobs.random(4, spread=4.0, sigma=1.3)
METHOD = GlobalAssignment(OrientationGrid.of(3, 18), hypotheses=3)


def symmetrised(blobs: Blobs, operators: torch.Tensor) -> Blobs:
    positions = torch.einsum("sij,nj->sni", operators.double(), blobs.positions).reshape(-1, 3)
    copies = len(operators)
    return Blobs(positions, blobs.weights.repeat(copies), blobs.sigmas.repeat(copies))


@pytest.mark.parametrize("symmetry", ["C1", "D2"])
def test_finds_the_poses_of_clear_images(symmetry: str) -> None:
    operators = symmetry_group(symmetry).float()
    blobs = symmetrised(BLOBS, operators)
    planted = PlantedParticles.of(blobs, DISK, 60, seed=5, signal=300.0, largest_shift=1.5)
    volume = map_to_volume(blobs.density(BOX).float(), BOX, RADIUS)
    found = METHOD.run(volume, planted.particles, RADIUS, Setting(operators, 1.6))
    copies = (planted.rotations[:, None] @ operators.double()).transpose(0, 1)
    error = torch.stack([angles_degrees(found.rotations, copy) for copy in copies]).amin(0)
    assert error.median() < 0.6
    assert (error < 3).double().mean() > 0.95
    moved = (found.shifts_pixel - planted.shifts_pixel).norm(dim=1)
    assert moved.median() < 0.05
    # sums of float32 weights
    assert ((found.confidence > 0) & (found.confidence <= 1 + 1e-6)).all()


@pytest.mark.parametrize("symmetry", ["C1", "D2"])
def test_clear_images_leave_no_doubt(symmetry: str) -> None:
    """Hypotheses that end at the same pose, or at its symmetry mate, are no rivals."""
    operators = symmetry_group(symmetry).float()
    blobs = symmetrised(BLOBS, operators)
    planted = PlantedParticles.of(blobs, DISK, 60, seed=5, signal=300.0, largest_shift=1.5)
    volume = map_to_volume(blobs.density(BOX).float(), BOX, RADIUS)
    found = METHOD.run(volume, planted.particles, RADIUS, Setting(operators, 1.6))
    assert found.confidence.median() > 0.99


def test_weights_say_how_sure() -> None:
    """Where noise drowns the image the rivals share the weight."""
    planted = PlantedParticles.of(BLOBS, DISK, 60, seed=6, signal=0.01)
    volume = map_to_volume(BLOBS.density(BOX).float(), BOX, RADIUS)
    setting = Setting(torch.eye(3)[None], 1.0)
    weight = METHOD.run(volume, planted.particles, RADIUS, setting).confidence
    torch.testing.assert_close(weight, torch.full_like(weight, 1 / 3), rtol=0, atol=0.05)


def test_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = PlantedParticles.of(BLOBS, DISK, 30, seed=7, signal=100.0)
    volume = map_to_volume(BLOBS.density(BOX).float(), BOX, RADIUS)
    told: list[tuple[int, int]] = []
    found = []
    for size in (250, 7):
        monkeypatch.setattr("cryospin.refine.assign._BATCH", size)
        told.clear()
        found.append(
            METHOD.run(
                volume,
                planted.particles,
                RADIUS,
                Setting(torch.eye(3)[None], 1.0),
                lambda *counts: told.append(counts),
            )
        )
    assert told[0] == (7, 30) and told[-1] == (30, 30)
    # matrix products of another size may round otherwise; Gauss-Newton ends at the same place
    apart = angles_degrees(found[0].rotations, found[1].rotations)
    assert apart.median() < 1e-3 and apart.max() < 0.1
