"""The direct stage: poses descend, only the batch's are touched, and zero turns are no trouble."""

from __future__ import annotations

import pytest
import torch

from cryospin.explore.decoders import ExplicitDecoder
from cryospin.explore.snapshot import NonFiniteLossError
from cryospin.fourier.disk import FourierDisk
from cryospin.kernels import margin_for, pose_normal_equations
from cryospin.refine.direct import DirectOptimisation, PoseDescent, pose_gradient
from phantoms import Blobs, PlantedParticles, angles_degrees, learned_volume, random_turns

DISK = FourierDisk.of(16, 6.0)
BLOBS = Blobs.random(1, sigma=1.2)
PLANTED = PlantedParticles.of(BLOBS, DISK, 30, 2, signal=200.0)
VOLUME = BLOBS.volume(margin_for(DISK.radius), 16).to(torch.complex64)


def true_decoder() -> ExplicitDecoder:
    return ExplicitDecoder(learned_volume(VOLUME), 2)


def likelihood_of(rows: torch.Tensor, decoder: ExplicitDecoder):
    return decoder.likelihood(PLANTED.particles.batch(rows))


def test_gradient_is_the_kernels() -> None:
    rows = torch.arange(5)
    rotations, shifts = random_turns(5, 3).float(), torch.zeros(5, 2)
    loss, gradient = pose_gradient(likelihood_of(rows, true_decoder()), rotations, shifts)
    expected = pose_normal_equations(VOLUME, PLANTED.particles.batch(rows), rotations, shifts)
    torch.testing.assert_close(loss, expected[0], rtol=1e-4, atol=0)
    scale = float(expected[1].abs().max())
    torch.testing.assert_close(gradient, expected[1], rtol=1e-3, atol=1e-4 * scale)


def test_steps_are_those_of_torchs_adam() -> None:
    """On the shifts, where the parameter is the step's own space."""
    poses = PoseDescent(torch.eye(3).repeat(4, 1, 1), torch.zeros(4, 2), 0.05)
    plain = torch.zeros(4, 2, requires_grad=True)
    optimiser = torch.optim.Adam([plain], lr=0.05)
    generator = torch.Generator().manual_seed(0)
    for _ in range(6):
        gradient = torch.randn(4, 5, generator=generator)
        poses.step(torch.arange(4), gradient)
        plain.grad = gradient[:, 3:].clone()
        optimiser.step()
    torch.testing.assert_close(poses.shifts_pixel, plain.detach())
    identity = torch.eye(3).expand(4, 3, 3)
    torch.testing.assert_close(poses.rotations @ poses.rotations.mT, identity, rtol=0, atol=1e-5)


def test_only_the_batch_is_touched_and_a_zero_gradient_moves_nothing() -> None:
    start = random_turns(4, 1).float()
    poses = PoseDescent(start, torch.zeros(4, 2), 0.05)
    poses.step(torch.tensor([2]), torch.ones(1, 5))
    poses.step(torch.tensor([1]), torch.zeros(1, 5))
    assert torch.equal(poses.rotations[[0, 3]], start[[0, 3]])
    torch.testing.assert_close(poses.rotations[1], start[1])
    assert not torch.allclose(poses.rotations[2], start[2], atol=1e-3)


def run(epochs: int, decoder: ExplicitDecoder, method: DirectOptimisation) -> PoseDescent:
    truth = PLANTED.rotations.float()
    start = random_turns(30, 5, degrees=12.0).float() @ truth
    poses = PoseDescent(start, PLANTED.shifts_pixel.float() + 0.3, method.pose_rate)
    optimiser = method.optimiser(decoder)
    for epoch in range(epochs):
        arguments = (PLANTED.particles, DISK, torch.zeros(30), 0, epoch, None)
        method.epoch(poses, decoder, optimiser, *arguments, lambda done, total: None)
    return poses


def test_poses_descend_to_the_truth() -> None:
    """From 12 degrees off; the volume, which is the true one, hardly moves."""
    poses = run(12, true_decoder(), DirectOptimisation(batch=16, volume_rate=1e-4))
    assert float(angles_degrees(poses.rotations, PLANTED.rotations).median()) < 2.5
    assert float((poses.shifts_pixel - PLANTED.shifts_pixel).norm(dim=1).median()) < 0.1


def test_held_out_images_move_their_poses_but_not_the_volume() -> None:
    decoder, method = true_decoder(), DirectOptimisation(batch=30)
    before = decoder.volume.mantissa.detach().clone()
    poses = PoseDescent(random_turns(30, 5).float(), torch.zeros(30, 2), 0.05)
    arguments = (PLANTED.particles, DISK, torch.ones(30), 0, 1, None)
    method.epoch(poses, decoder, method.optimiser(decoder), *arguments, lambda done, total: None)
    assert torch.equal(decoder.volume.mantissa, before)
    assert not torch.equal(poses.shifts_pixel, torch.zeros(30, 2))


def test_a_non_finite_loss_leaves_poses_as_they_were() -> None:
    decoder = true_decoder()
    with torch.no_grad():
        decoder.volume.exponent.fill_(200.0)
    with pytest.raises(NonFiniteLossError, match="direct stage"):
        run(1, decoder, DirectOptimisation(batch=16))
