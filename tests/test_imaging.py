"""Gradients of the likelihood: finite differences in float64, and the kernels' against those.

The trilinear interpolant is differentiable between the faces of its cells, where random poses
put all points that matter.
"""

from __future__ import annotations

import pytest
import torch

from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.image_batch import ImageBatch
from cryospin.imaging import (
    left_gradient,
    negative_log_likelihood,
    predict,
    slices_negative_log_likelihood,
)
from cryospin.kernels import margin_for, pose_normal_equations, slice_volume
from cryospin.rotations.s2s2 import s2s2_to_rotation
from phantoms import Blobs, disk_coefficients, random_turns

BOX = 16
DISK = FourierDisk.of(BOX, 5.0)
COUNT = 4
INDEX = torch.tensor([0, 1, 1, 2, 0])


def problem(dtype: torch.dtype, oversampling: int = 2) -> tuple[torch.Tensor, ...]:
    """(volume, images, ctf, six numbers, shifts); images and CTF reach beyond the disk."""
    generator = torch.Generator().manual_seed(3)
    blobs = Blobs.random(1, spread=2.0)
    volume = blobs.volume(margin_for(DISK.radius, oversampling), BOX, oversampling) * 10
    whole = FourierDisk.of(BOX)
    rotations = random_turns(COUNT, 5)
    ctf = torch.rand(COUNT, len(whole), dtype=torch.float64, generator=generator) * 2 - 1
    shifts = torch.randn(COUNT, 2, dtype=torch.float64, generator=generator)
    images = ctf * blobs.coefficients(rotations, whole, shifts) * 10
    images += disk_coefficients(COUNT, whole, 7)
    turned = random_turns(len(INDEX), 11, degrees=6.0) @ rotations[INDEX]
    six = torch.cat([1.5 * turned[..., 0], turned[..., 1] - 0.4 * turned[..., 0]], dim=-1)
    moved = shifts[INDEX] + 0.3
    double = dtype == torch.float64
    return tuple(
        t if double else t.to(torch.complex64 if t.is_complex() else torch.float32)
        for t in (volume, images, ctf, six, moved)
    )


def loss_of(volume, images, ctf, six, shifts, oversampling=2) -> torch.Tensor:
    rotations = s2s2_to_rotation(six)
    batch = on_disk(images, ctf)
    return negative_log_likelihood(volume, batch, rotations, shifts, INDEX, oversampling)


def on_disk(images: torch.Tensor, ctf: torch.Tensor) -> ImageBatch:
    return ImageBatch(images, ctf, FourierDisk.of(BOX)).prefix(DISK.radius)


def test_gradients_equal_finite_differences() -> None:
    """With respect to head outputs and shifts, in float64."""
    volume, images, ctf, six, shifts = problem(torch.float64)

    def function(six: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
        return loss_of(volume, images, ctf, six, shifts)

    inputs = (six.requires_grad_(), shifts.requires_grad_())
    assert torch.autograd.gradcheck(function, inputs, eps=1e-7, atol=1e-4)


def directional_derivative(function, at: torch.Tensor, direction: torch.Tensor) -> float:
    step = 1e-4
    above, below = function(at + step * direction), function(at - step * direction)
    return float((above - below) / (2 * step))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_volume_gradient_is_that_of_the_stored_array(dtype: torch.dtype) -> None:
    """Every entry is its own variable, on the plane x = 0 too; the loss is quadratic in the
    volume, so differences are exact but for rounding. The float64 twin measures both."""
    volume, images, ctf, six, shifts = problem(dtype)
    volume.requires_grad_()
    loss_of(volume, images, ctf, six, shifts).sum().backward()
    exact = problem(torch.float64)
    generator = torch.Generator().manual_seed(0)
    for plane in (slice(None), slice(0, 1), slice(1, None)):
        direction = torch.zeros_like(exact[0])
        direction[..., plane] = torch.randn(
            direction[..., plane].shape, dtype=direction.dtype, generator=generator
        )
        expected = directional_derivative(
            lambda v: loss_of(v, *exact[1:]).sum(), exact[0], direction
        )
        gradient = volume.grad.to(direction.dtype)
        found = float((gradient.conj() * direction).real.sum())
        assert found == pytest.approx(expected, rel=1e-6 if dtype == torch.float64 else 1e-3)


@pytest.mark.parametrize("oversampling", [1, 2])
def test_compiled_gradients_equal_the_twins(oversampling: int) -> None:
    """Losses are sums of some hundred float32 squares: 1e-4 is ten roundings."""
    results = []
    for dtype in (torch.float32, torch.float64):
        volume, images, ctf, six, shifts = problem(dtype, oversampling)
        for tensor in (volume, six, shifts):
            tensor.requires_grad_()
        loss = loss_of(volume, images, ctf, six, shifts, oversampling)
        (loss * torch.arange(1.0, 6.0)).sum().backward()
        found = (loss.detach(), volume.grad, six.grad, shifts.grad)
        results.append([t.to(torch.complex128) for t in found])
    for compiled, twin in zip(*results, strict=True):
        torch.testing.assert_close(compiled, twin, rtol=1e-3, atol=1e-4 * float(twin.abs().max()))


def test_only_what_is_wanted_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    volume, images, ctf, six, shifts = problem(torch.float32)
    volume.requires_grad_()

    def refused(*arguments: object) -> None:
        raise AssertionError("no pose wants a gradient")

    monkeypatch.setattr("cryospin.imaging.pose_normal_equations", refused)
    loss_of(volume, images, ctf, six, shifts).sum().backward()
    with torch.no_grad():
        assert not loss_of(volume, images, ctf, six.requires_grad_(), shifts).requires_grad


def test_left_gradient_is_the_kernels() -> None:
    volume, images, ctf, six, shifts = problem(torch.float64)
    rotations = s2s2_to_rotation(six).requires_grad_()
    loss = negative_log_likelihood(volume, on_disk(images, ctf), rotations, shifts, INDEX)
    (ambient,) = torch.autograd.grad(loss.sum(), rotations)
    _, expected, _ = pose_normal_equations(
        volume, on_disk(images, ctf), rotations.detach(), shifts, INDEX
    )
    torch.testing.assert_close(left_gradient(ambient, rotations.detach()), expected[:, :3])


def test_likelihood_of_slices_is_the_same_likelihood() -> None:
    volume, images, ctf, six, shifts = problem(torch.float64)
    slices = slice_volume(volume, s2s2_to_rotation(six), DISK)
    found = slices_negative_log_likelihood(slices, on_disk(images, ctf), shifts, INDEX)
    torch.testing.assert_close(found, loss_of(volume, images, ctf, six, shifts))


def test_a_noiseless_image_has_no_loss() -> None:
    volume, _, ctf, six, shifts = problem(torch.float64)
    rotations = s2s2_to_rotation(six[:COUNT])
    images = predict(volume, ctf, rotations, shifts[:COUNT], DISK)
    exact = ImageBatch(images, ctf[:, : len(DISK)], DISK)
    loss = negative_log_likelihood(volume, exact, rotations, shifts[:COUNT])
    assert float(loss.max()) < 1e-20


def test_the_half_turned_image_is_the_conjugate() -> None:
    """x -> -x in real space: loss(conj x; R, t) = loss(x; Rz(pi) R, -t)."""
    volume, images, ctf, six, shifts = problem(torch.float64)
    rotations = s2s2_to_rotation(six)
    turned = torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64)[:, None] * rotations
    itself, mate = on_disk(images, ctf), on_disk(images.conj(), ctf)
    one = negative_log_likelihood(volume, mate, rotations, shifts, INDEX)
    other = negative_log_likelihood(volume, itself, turned, -shifts, INDEX)
    torch.testing.assert_close(one, other)
