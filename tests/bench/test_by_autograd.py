"""The common way gives what the kernels give: only then is its time worth comparing."""

from __future__ import annotations

import torch

from cryospin.bench.by_autograd import AutogradStage, by_grid_sample, loss_by_autograd
from cryospin.fourier.disk import FourierDisk
from cryospin.kernels import margin_for, pose_losses, pose_normal_equations, slice_volume
from phantoms import Blobs, PlantedParticles


def planted() -> tuple[PlantedParticles, torch.Tensor]:
    blobs, disk = Blobs.random(2, spread=1.5), FourierDisk.of(16)
    volume = blobs.volume(margin_for(disk.radius), disk.box).to(torch.complex64)
    return PlantedParticles.of(blobs, disk, 12, 2, signal=3.0), volume


def test_slices() -> None:
    found, volume = planted()
    disk, rotations = found.particles.disk, found.rotations.float()
    common, ours = by_grid_sample(volume, rotations, disk), slice_volume(volume, rotations, disk)
    # float32 coordinates on a grid of tens of points
    assert torch.allclose(common, ours, atol=1e-4 * float(ours.abs().max()))


def test_loss_and_gradient() -> None:
    found, volume = planted()
    particles, rotations = found.particles, found.rotations.float()
    turns = torch.zeros(len(rotations), 3, requires_grad=True)
    shifts = found.shifts_pixel.float().requires_grad_(True)
    images = particles.images()
    loss = loss_by_autograd(volume, images, rotations, turns, shifts)
    loss.backward()
    ours, gradient, _ = pose_normal_equations(volume, images, rotations, shifts.detach())
    assert torch.allclose(loss.detach(), ours.sum(), rtol=1e-4)
    assert turns.grad is not None and shifts.grad is not None
    common = torch.cat([turns.grad, shifts.grad], dim=1)
    assert torch.allclose(common, gradient, atol=2e-3 * float(gradient.abs().max()))


def test_a_stage_lowers_the_loss() -> None:
    found, volume = planted()
    images = found.particles.images()
    start = found.rotations.float(), found.shifts_pixel.float() + 0.5
    before = pose_losses(volume, images, *start).sum()
    new, rotations, shifts = AutogradStage(volume_rate=1e-4).run(volume, images, *start)
    assert pose_losses(new, images, rotations, shifts).sum() < before
