"""Planted poses are found again, and no pose is ever made worse."""

from __future__ import annotations

from dataclasses import replace

import pytest
import roma
import torch

from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.image_batch import ImageBatch
from cryospin.kernels import margin_for, pose_losses, pose_normal_equations
from cryospin.kernels.reference import predict
from cryospin.refine.gauss_newton import GaussNewton
from phantoms import Blobs, angles_degrees, disk_coefficients, random_turns

BOX = 32
DISK = FourierDisk.of(BOX, 10.0)
VOLUME = 20 * Blobs.random(1, spread=4.0, sigma=1.5).volume(margin_for(DISK.radius), BOX)


def planted(count: int, noise: float, dtype: torch.dtype = torch.float64, seed: int = 3) -> tuple:
    """Images of the volume's own slices, so that the true pose has no residual but the noise.

    Returns (volume, images), true rotations and shifts, and those 5 degrees and 0.5 px off.
    """
    generator = torch.manual_seed(seed)
    rotations = random_turns(count, seed)
    shifts = 4 * torch.rand(count, 2, dtype=torch.float64, generator=generator) - 2
    ctf = 0.2 + torch.rand(count, len(DISK), dtype=torch.float64, generator=generator)
    images = predict(VOLUME, ctf, rotations, shifts, DISK, 2)
    images = images + noise * disk_coefficients(count, DISK, seed)
    off = torch.randn(count, 2, dtype=torch.float64, generator=generator)
    off = 0.5 * off / off.norm(dim=1, keepdim=True)
    start = random_turns(count, seed + 1, degrees=5.0) @ rotations, shifts + off
    complex_dtype = torch.complex128 if dtype == torch.float64 else torch.complex64
    batch = ImageBatch(images.to(complex_dtype), ctf.to(dtype), DISK)
    data = VOLUME.to(complex_dtype), batch
    return data, (rotations, shifts), tuple(tensor.to(dtype) for tensor in start)


def test_finds_planted_poses_exactly() -> None:
    """Float64, no noise: down to where a kink of the interpolant stops it, if anywhere."""
    data, (rotations, shifts), start = planted(20, noise=0.0)
    found = GaussNewton(steps=20).refine(*data, *start)
    error = angles_degrees(found.rotations, rotations)
    assert error.median() < 1e-4
    assert (error < 0.01).double().mean() > 0.9
    assert (found.shifts_pixel - shifts).norm(dim=1).median() < 1e-5


def test_a_few_compiled_steps_come_close() -> None:
    """Float32, six steps, as the recipe takes them."""
    data, (rotations, shifts), start = planted(200, noise=0.0, dtype=torch.float32)
    found = GaussNewton(steps=6).refine(*data, *start)
    error = angles_degrees(found.rotations, rotations)
    assert found.rotations.dtype == torch.float32
    assert error.median() < 0.1 and error.quantile(0.9) < 0.5
    assert (found.shifts_pixel - shifts).norm(dim=1).median() < 0.01


def test_error_with_noise_is_what_the_information_says() -> None:
    """Cramer-Rao: the loss is the negative log-likelihood, its Gauss-Newton Hessian H the
    Fisher information, so (estimate - truth)^T H (estimate - truth) is chi squared of 5."""
    data, (rotations, shifts), start = planted(400, noise=1.0, dtype=torch.float32)
    found = GaussNewton(steps=10).refine(*data, *start)
    turn = roma.rotmat_to_rotvec(found.rotations.double() @ rotations.mT)
    error = torch.cat([turn, found.shifts_pixel - shifts], dim=1)
    information = pose_normal_equations(*data, found.rotations, found.shifts_pixel)[2]
    distance = torch.einsum("pi,pij,pj->p", error, information.double(), error)
    # its median is 4.35; what Gauss-Newton neglects adds to it
    assert 3.5 < distance.median() < 6.0


@pytest.mark.parametrize("noise", [0.0, 1.0, 10.0])
@pytest.mark.parametrize("steps", [1, 4])
def test_never_ends_worse(noise: float, steps: int) -> None:
    data, _, start = planted(100, noise, dtype=torch.float32, seed=5)
    before = pose_losses(*data, *start)
    found = GaussNewton(steps=steps).refine(*data, *start)
    assert (found.loss <= before).all()
    # the loss told is the loss there, but for re-orthonormalising the rotation in float32
    after = pose_losses(*data, found.rotations, found.shifts_pixel)
    torch.testing.assert_close(after, found.loss, rtol=1e-3, atol=1e-2)


def test_from_anywhere_it_never_ends_worse() -> None:
    """Random starts: far outside the basin, where the quadratic model is nonsense."""
    data, _, _ = planted(100, noise=1.0, dtype=torch.float32, seed=6)
    start = random_turns(100, seed=7).float(), torch.zeros(100, 2)
    before = pose_losses(*data, *start)
    found = GaussNewton(steps=8).refine(*data, *start)
    assert (found.loss <= before).all() and (found.loss < before).double().mean() > 0.9


def test_at_the_truth_it_stays() -> None:
    data, (rotations, shifts), _ = planted(20, noise=0.0)
    found = GaussNewton().refine(*data, rotations, shifts)
    assert angles_degrees(found.rotations, rotations).max() < 1e-5
    assert (found.shifts_pixel - shifts).abs().max() < 1e-6


def test_steps_are_kept_short() -> None:
    data, _, start = planted(50, noise=0.0, seed=8)
    method = GaussNewton(steps=1, largest_turn_radians=0.01, largest_move_pixel=0.05)
    found = method.refine(*data, *start)
    # one limit is met, and the other then not exceeded: the step is shortened as a whole
    assert angles_degrees(found.rotations, start[0]).max() < 0.5730
    assert (found.shifts_pixel - start[1]).norm(dim=1).max() < 0.0501
    assert angles_degrees(found.rotations, start[0]).median() > 0.1


def test_rotations_stay_orthonormal() -> None:
    data, _, start = planted(50, noise=1.0, dtype=torch.float32, seed=9)
    found = GaussNewton(steps=20).refine(*data, *start)
    identity = torch.eye(3).expand(50, 3, 3)
    torch.testing.assert_close(found.rotations @ found.rotations.mT, identity, rtol=0, atol=1e-6)
    assert (torch.linalg.det(found.rotations) > 0).all()


def test_an_image_without_information_moves_nowhere() -> None:
    """CTF zero everywhere: a zero gradient and a zero Hessian are no reason for NaN."""
    data, _, start = planted(5, noise=1.0)
    volume, images = data
    blind = replace(images, ctf=torch.zeros_like(images.ctf))
    found = GaussNewton().refine(volume, blind, *start)
    assert torch.isfinite(found.rotations).all() and torch.isfinite(found.shifts_pixel).all()
    assert angles_degrees(found.rotations, start[0]).max() < 1e-5


def test_poses_name_their_images() -> None:
    data, _, start = planted(6, noise=1.0)
    index = torch.tensor([3, 3, 0])
    poses = start[0][index], start[1][index]
    found = GaussNewton().refine(*data, *poses, index)
    expected = GaussNewton().refine(*data, *start).select(index)
    torch.testing.assert_close(found.rotations, expected.rotations, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.loss, expected.loss)
