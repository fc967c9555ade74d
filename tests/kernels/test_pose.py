"""Loss, gradient and Gauss-Newton matrix of a pose.

The gradient is that of the trilinear interpolant, exact between the faces of its cells: tests
differentiate there, and give numba, whose float32 may land across a face, a smooth volume.
"""

from __future__ import annotations

from dataclasses import replace

import numba
import pytest
import roma
import torch

from cryospin.fourier.disk import FourierDisk, shift_phases
from cryospin.fourier.image_batch import ImageBatch
from cryospin.kernels import cpu, margin_for, pose_losses, pose_normal_equations, slice_volume
from cryospin.kernels.reference import predict
from phantoms import Blobs, disk_coefficients, random_turns

BOX = 32
DISK = FourierDisk.of(BOX, 10.0)
BLOBS = Blobs.random(1)
VOLUME = BLOBS.volume(margin_for(DISK.radius), BOX) * 10


def problem(count: int, seed: int = 2) -> tuple[ImageBatch, torch.Tensor, torch.Tensor]:
    """Noisy images, and poses (rotations, shifts) 4 degrees and 0.5 px off."""
    generator = torch.manual_seed(seed)
    ctf = torch.rand(count, len(DISK), dtype=torch.float64, generator=generator) * 2 - 1
    shifts = torch.rand(count, 2, dtype=torch.float64, generator=generator) * 4 - 2
    true = random_turns(count, seed)
    images = ctf * BLOBS.coefficients(true, DISK, shifts) * 10
    images += 0.3 * disk_coefficients(count, DISK, seed)
    moved = torch.randn(count, 2, dtype=torch.float64, generator=generator)
    off = random_turns(count, seed + 1, degrees=4.0)
    return ImageBatch(images, ctf, DISK), off @ true, shifts + 0.5 * moved


def single(*things: torch.Tensor | ImageBatch) -> tuple:
    """In single precision."""
    return tuple(
        ImageBatch(*single(thing.coefficients, thing.ctf), thing.disk)
        if isinstance(thing, ImageBatch)
        else thing.to(torch.complex64 if thing.is_complex() else torch.float32)
        for thing in things
    )


def test_loss_is_the_sum_of_squared_residuals() -> None:
    images, rotations, shifts = problem(4)
    model = images.ctf * shift_phases(shifts, DISK) * slice_volume(VOLUME, rotations, DISK)
    expected = (images.coefficients - model).abs().square().sum(-1)
    loss, _, _ = pose_normal_equations(VOLUME, images, rotations, shifts)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    alone = pose_losses(VOLUME, images, rotations, shifts)
    torch.testing.assert_close(alone, expected, rtol=1e-12, atol=0)


def test_gradient_is_the_slope_of_the_loss() -> None:
    """Central differences in float64: truncation 1e-12 and rounding 1e-9 of the loss."""
    images, rotations, shifts = problem(6)
    _, gradient, _ = pose_normal_equations(VOLUME, images, rotations, shifts)
    step = 1e-6
    for axis in range(5):
        sides = []
        for sign in (1, -1):
            change = torch.zeros(6, 5, dtype=torch.float64)
            change[:, axis] = sign * step
            turned = roma.rotvec_to_rotmat(change[:, :3]) @ rotations
            moved = shifts + change[:, 3:]
            sides.append(pose_losses(VOLUME, images, turned, moved))
        slope = (sides[0] - sides[1]) / (2 * step)
        torch.testing.assert_close(
            gradient[:, axis], slope, rtol=1e-5, atol=1e-6 * float(gradient.abs().max())
        )


def test_gradient_is_autograds() -> None:
    """To rounding: the same interpolant, differentiated by another hand."""
    images, rotations, shifts = problem(6)
    _, gradient, _ = pose_normal_equations(VOLUME, images, rotations, shifts)
    change = torch.zeros(6, 5, dtype=torch.float64, requires_grad=True)
    # one term of exp([w]) is all its derivative at 0 needs
    cross = torch.linalg.cross(change[:, None, :3].expand(-1, 3, -1), rotations.mT, dim=-1).mT
    losses = pose_losses(VOLUME, images, rotations + cross, shifts + change[:, 3:])
    (expected,) = torch.autograd.grad(losses.sum(), change)
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-10)


def test_hessian_is_symmetric_and_never_negative() -> None:
    _, _, hessian = pose_normal_equations(VOLUME, *problem(20))
    assert torch.equal(hessian, hessian.mT)
    smallest = torch.linalg.eigvalsh(hessian).amin(dim=1)
    assert (smallest > -1e-12 * hessian.diagonal(dim1=1, dim2=2).sum(1)).all()


def test_hessian_is_the_curvature_where_residuals_vanish() -> None:
    """Gauss-Newton leaves out residual times second derivative: nothing at a perfect fit."""
    noisy, rotations, shifts = problem(3)
    images = replace(noisy, coefficients=predict(VOLUME, noisy.ctf, rotations, shifts, DISK, 2))
    loss, gradient, hessian = pose_normal_equations(VOLUME, images, rotations, shifts)
    assert loss.max() < 1e-20 and gradient.abs().max() < 1e-9
    change = torch.randn(3, 5, dtype=torch.float64, generator=torch.manual_seed(1)) * 1e-6
    moved = pose_losses(
        VOLUME,
        images,
        roma.rotvec_to_rotmat(change[:, :3]) @ rotations,
        shifts + change[:, 3:],
    )
    quadratic = 0.5 * torch.einsum("pi,pij,pj->p", change, hessian, change)
    torch.testing.assert_close(moved, quadratic, rtol=1e-4, atol=0)


def test_shift_and_turn_go_the_way_they_say() -> None:
    """One Newton step from 0.5 degrees and 0.1 px off lands near the truth."""
    _, rotations, shifts = problem(8)
    ctf = torch.ones(8, len(DISK), dtype=torch.float64)
    images = ImageBatch(predict(VOLUME, ctf, rotations, shifts, DISK, 2), ctf, DISK)
    off = random_turns(8, seed=5, degrees=0.5)
    loss, gradient, hessian = pose_normal_equations(VOLUME, images, off @ rotations, shifts + 0.1)
    step = -torch.linalg.solve(hessian, gradient)
    turned = roma.rotvec_to_rotmat(step[:, :3]) @ off @ rotations
    left = pose_losses(VOLUME, images, turned, shifts + 0.1 + step[:, 3:])
    assert (left < 0.02 * loss).all()
    # the slopes of a trilinear interpolant jump at cell faces: exactness is not to be had
    torch.testing.assert_close(step[:, 3:], torch.full_like(shifts, -0.1), rtol=0, atol=0.02)


def test_numba_agrees_with_the_twin() -> None:
    arguments = problem(40)
    exact = pose_normal_equations(VOLUME, *arguments)
    fast = pose_normal_equations(*single(VOLUME, *arguments))
    losses = pose_losses(*single(VOLUME, *arguments))
    torch.testing.assert_close(losses.double(), exact[0], rtol=2e-5, atol=0)
    # float32 sums of 150 terms; points within 1e-6 of a cell face may take the slope beyond it
    for ours, twin in zip(fast, exact, strict=True):
        scale = twin.abs().flatten(1).amax(1) if twin.ndim > 1 else twin.abs()
        error = (ours - twin).abs().reshape(len(twin), -1).amax(1)
        assert (error < 2e-4 * scale + 1e-4).all()
    torch.testing.assert_close(losses, fast[0], rtol=1e-6, atol=0)


@pytest.mark.parametrize("compiled", [False, True])
def test_poses_name_their_images(compiled: bool) -> None:
    images, rotations, shifts = problem(3)
    index = torch.tensor([2, 0, 0, 1])
    poses = [rotations[[1, 0, 2, 1]], shifts[[1, 0, 2, 1]]]
    volume = VOLUME
    if compiled:
        (volume, images, *poses) = single(volume, images, *poses)
    named = pose_normal_equations(volume, images, *poses, index)
    given = pose_normal_equations(volume, images.select(index), *poses)
    for a, b in zip(named, given, strict=True):
        assert torch.equal(a, b)
    assert torch.equal(
        pose_losses(volume, images, *poses, index),
        pose_losses(volume, images.select(index), *poses),
    )


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("rows", [slice(None), slice(1, 3), slice(0, 3, 2)])
def test_rows_that_lie_apart_are_read_where_they_are(compiled: bool, rows: slice) -> None:
    """Those of a prefix, and of some of the images: nothing is copied, nothing is different."""
    images, rotations, shifts = problem(3)
    volume = VOLUME
    if compiled:
        volume, images, rotations, shifts = single(volume, images, rotations, shifts)
    apart, poses = images.select(rows).prefix(6.0), (rotations[rows], shifts[rows])
    assert not apart.coefficients.is_contiguous()
    together = apart.contiguous()
    for a, b in zip(
        pose_normal_equations(volume, apart, *poses),
        pose_normal_equations(volume, together, *poses),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=0 if compiled else 1e-12, atol=0)


@pytest.mark.parametrize("offset", [0, 5])
def test_a_table_is_not_read_beyond_its_end(offset: int) -> None:
    """The rows of coefficients that are not the first ones are copied."""
    table = torch.arange(60.0).view(3, 20)
    some = table[:, offset : offset + 10]
    assert torch.equal(cpu._rows(some)[:, :10], some)
    assert (cpu._rows(some).data_ptr() == table.data_ptr()) == (offset == 0)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="numba found one core")
def test_threads_change_nothing() -> None:
    arguments = single(VOLUME, *problem(30))
    found = []
    before = numba.get_num_threads()
    for threads in (1, 2):
        numba.set_num_threads(threads)
        found.append(pose_normal_equations(*arguments))
    numba.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_volume_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold slices of radius"):
        pose_losses(VOLUME[1:-1, 1:-1, :-1], *problem(1))
