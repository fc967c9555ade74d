"""Loss, gradient and Gauss-Newton matrix of a pose.

The gradient is that of the trilinear interpolant, exact between the faces of its cells: tests
differentiate there, and give numba, whose float32 may land across a face, a smooth volume.
"""

from __future__ import annotations

import numba
import pytest
import roma
import torch
from torch import Tensor

from cryospin.fourier.disk import FourierDisk, shift_phases
from cryospin.kernels import margin_for, pose_losses, pose_normal_equations, slice_volume
from cryospin.kernels.reference import predict
from phantoms import Blobs, disk_coefficients, random_turns

BOX = 32
DISK = FourierDisk.of(BOX, 10.0)
BLOBS = Blobs.random(1)
VOLUME = BLOBS.volume(margin_for(DISK.radius), BOX) * 10


def problem(count: int, seed: int = 2) -> tuple[torch.Tensor, ...]:
    """(images, ctf, rotations, shifts): noisy images, poses 4 degrees and 0.5 px off."""
    generator = torch.manual_seed(seed)
    ctf = torch.rand(count, len(DISK), dtype=torch.float64, generator=generator) * 2 - 1
    shifts = torch.rand(count, 2, dtype=torch.float64, generator=generator) * 4 - 2
    true = random_turns(count, seed)
    images = ctf * BLOBS.coefficients(true, DISK, shifts) * 10
    images += 0.3 * disk_coefficients(count, DISK, seed)
    moved = torch.randn(count, 2, dtype=torch.float64, generator=generator)
    return images, ctf, random_turns(count, seed + 1, degrees=4.0) @ true, shifts + 0.5 * moved


def single(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return tuple(t.to(torch.complex64 if t.is_complex() else torch.float32) for t in tensors)


def test_loss_is_the_sum_of_squared_residuals() -> None:
    images, ctf, rotations, shifts = problem(4)
    model = ctf * shift_phases(shifts, DISK) * slice_volume(VOLUME, rotations, DISK)
    expected = (images - model).abs().square().sum(-1)
    loss, _, _ = pose_normal_equations(VOLUME, images, ctf, rotations, shifts, DISK)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    alone = pose_losses(VOLUME, images, ctf, rotations, shifts, DISK)
    torch.testing.assert_close(alone, expected, rtol=1e-12, atol=0)


def test_gradient_is_the_slope_of_the_loss() -> None:
    """Central differences in float64: truncation 1e-12 and rounding 1e-9 of the loss."""
    images, ctf, rotations, shifts = problem(6)
    _, gradient, _ = pose_normal_equations(VOLUME, images, ctf, rotations, shifts, DISK)
    step = 1e-6
    for axis in range(5):
        sides = []
        for sign in (1, -1):
            change = torch.zeros(6, 5, dtype=torch.float64)
            change[:, axis] = sign * step
            turned = roma.rotvec_to_rotmat(change[:, :3]) @ rotations
            moved = shifts + change[:, 3:]
            sides.append(pose_losses(VOLUME, images, ctf, turned, moved, DISK))
        slope = (sides[0] - sides[1]) / (2 * step)
        torch.testing.assert_close(
            gradient[:, axis], slope, rtol=1e-5, atol=1e-6 * float(gradient.abs().max())
        )


def test_gradient_is_autograds() -> None:
    """To rounding: the same interpolant, differentiated by another hand."""
    images, ctf, rotations, shifts = problem(6)
    _, gradient, _ = pose_normal_equations(VOLUME, images, ctf, rotations, shifts, DISK)
    change = torch.zeros(6, 5, dtype=torch.float64, requires_grad=True)
    # one term of exp([w]) is all its derivative at 0 needs
    cross = torch.linalg.cross(change[:, None, :3].expand(-1, 3, -1), rotations.mT, dim=-1).mT
    losses = pose_losses(VOLUME, images, ctf, rotations + cross, shifts + change[:, 3:], DISK)
    (expected,) = torch.autograd.grad(losses.sum(), change)
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-10)


def test_hessian_is_symmetric_and_never_negative() -> None:
    _, _, hessian = pose_normal_equations(VOLUME, *problem(20), DISK)
    assert torch.equal(hessian, hessian.mT)
    smallest = torch.linalg.eigvalsh(hessian).amin(dim=1)
    assert (smallest > -1e-12 * hessian.diagonal(dim1=1, dim2=2).sum(1)).all()


def test_hessian_is_the_curvature_where_residuals_vanish() -> None:
    """Gauss-Newton leaves out residual times second derivative: nothing at a perfect fit."""
    _, ctf, rotations, shifts = problem(3)
    images = predict(VOLUME, ctf, rotations, shifts, DISK, 2)
    loss, gradient, hessian = pose_normal_equations(VOLUME, images, ctf, rotations, shifts, DISK)
    assert loss.max() < 1e-20 and gradient.abs().max() < 1e-9
    change = torch.randn(3, 5, dtype=torch.float64, generator=torch.manual_seed(1)) * 1e-6
    moved = pose_losses(
        VOLUME,
        images,
        ctf,
        roma.rotvec_to_rotmat(change[:, :3]) @ rotations,
        shifts + change[:, 3:],
        DISK,
    )
    quadratic = 0.5 * torch.einsum("pi,pij,pj->p", change, hessian, change)
    torch.testing.assert_close(moved, quadratic, rtol=1e-4, atol=0)


def test_shift_and_turn_go_the_way_they_say() -> None:
    """One Newton step from 0.5 degrees and 0.1 px off lands near the truth."""
    _, _, rotations, shifts = problem(8)
    ctf = torch.ones(8, len(DISK), dtype=torch.float64)
    images = predict(VOLUME, ctf, rotations, shifts, DISK, 2)
    off = random_turns(8, seed=5, degrees=0.5)
    loss, gradient, hessian = pose_normal_equations(
        VOLUME, images, ctf, off @ rotations, shifts + 0.1, DISK
    )
    step = -torch.linalg.solve(hessian, gradient)
    turned = roma.rotvec_to_rotmat(step[:, :3]) @ off @ rotations
    left = pose_losses(VOLUME, images, ctf, turned, shifts + 0.1 + step[:, 3:], DISK)
    assert (left < 0.02 * loss).all()
    # the slopes of a trilinear interpolant jump at cell faces: exactness is not to be had
    torch.testing.assert_close(step[:, 3:], torch.full_like(shifts, -0.1), rtol=0, atol=0.02)


def test_numba_agrees_with_the_twin() -> None:
    arguments = problem(40)
    exact = pose_normal_equations(VOLUME, *arguments, DISK)
    fast = pose_normal_equations(*single(VOLUME, *arguments), DISK)
    losses = pose_losses(*single(VOLUME, *arguments), DISK)
    torch.testing.assert_close(losses.double(), exact[0], rtol=2e-5, atol=0)
    # float32 sums of 150 terms; points within 1e-6 of a cell face may take the slope beyond it
    for ours, twin in zip(fast, exact, strict=True):
        scale = twin.abs().flatten(1).amax(1) if twin.ndim > 1 else twin.abs()
        error = (ours - twin).abs().reshape(len(twin), -1).amax(1)
        assert (error < 2e-4 * scale + 1e-4).all()
    torch.testing.assert_close(losses, fast[0], rtol=1e-6, atol=0)


@pytest.mark.parametrize("compiled", [False, True])
def test_poses_name_their_images(compiled: bool) -> None:
    images, ctf, rotations, shifts = problem(3)
    index = torch.tensor([2, 0, 0, 1])
    poses = [rotations[[1, 0, 2, 1]], shifts[[1, 0, 2, 1]]]
    volume = VOLUME
    if compiled:
        (volume, images, ctf, *poses) = single(volume, images, ctf, *poses)
    named = pose_normal_equations(volume, images, ctf, *poses, DISK, index)
    given = pose_normal_equations(volume, images[index], ctf[index], *poses, DISK)
    for a, b in zip(named, given, strict=True):
        assert torch.equal(a, b)
    assert torch.equal(
        pose_losses(volume, images, ctf, *poses, DISK, index),
        pose_losses(volume, images[index], ctf[index], *poses, DISK),
    )


@pytest.mark.parametrize("compiled", [False, True])
def test_a_prefix_of_longer_vectors_is_read(compiled: bool) -> None:
    images, ctf, rotations, shifts = problem(3)
    short = DISK.prefix(6.0)
    arguments: tuple[Tensor, ...] = (VOLUME, images, ctf, rotations, shifts)
    cut: tuple[Tensor, ...] = (
        VOLUME, images[:, : len(short)], ctf[:, : len(short)], rotations, shifts
    )  # fmt: skip
    if compiled:
        arguments, cut = single(*arguments), single(*cut)
    for a, b in zip(
        pose_normal_equations(*arguments, short), pose_normal_equations(*cut, short), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-5 if compiled else 1e-12, atol=1e-4)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="numba found one core")
def test_threads_change_nothing() -> None:
    arguments = single(VOLUME, *problem(30))
    found = []
    before = numba.get_num_threads()
    for threads in (1, 2):
        numba.set_num_threads(threads)
        found.append(pose_normal_equations(*arguments, DISK))
    numba.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_volume_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold slices of radius"):
        pose_losses(VOLUME[1:-1, 1:-1, :-1], *problem(1), DISK)
