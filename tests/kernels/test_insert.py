"""Insertion: the exact adjoint of slicing, the same bits for any number of threads."""

from __future__ import annotations

from collections.abc import Callable

import numba
import pytest
import torch

from cryospin.fourier.disk import FourierDisk
from cryospin.kernels import insert_portions, insert_slices, margin_for, slice_volume
from phantoms import disk_coefficients, random_turns

BOX = 24
DISKS = [FourierDisk.of(BOX), FourierDisk.of(BOX, 5.3)]


def noise_volume(margin: int, seed: int = 0) -> torch.Tensor:
    """No Friedel symmetry: adjointness holds for any array, not only for a map's."""
    size = 2 * margin + 1
    generator = torch.manual_seed(seed)
    return torch.randn(size, size, margin + 1, dtype=torch.complex128, generator=generator)


def inputs(disk: FourierDisk, count: int, seed: int = 1) -> tuple[torch.Tensor, ...]:
    values = disk_coefficients(count, disk, seed)
    weights = disk_coefficients(count, disk, seed + 1).abs().square()
    return values, weights, random_turns(count, seed)


def single(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return tuple(t.to(torch.complex64 if t.is_complex() else torch.float32) for t in tensors)


def inner(first: torch.Tensor, second: torch.Tensor) -> float:
    """Re <a, b> summed in float64."""
    a, b = first.to(torch.complex128), second.to(torch.complex128)
    return float((a.conj() * b).real.sum())


@pytest.mark.parametrize("disk", DISKS)
@pytest.mark.parametrize("spare", [0, 3])
def test_is_the_adjoint_of_slicing(disk: FourierDisk, spare: int) -> None:
    """<slice(V), y> = <V, insert(y)> over the reals: the Friedel mate is conjugated."""
    margin = margin_for(disk.radius) + spare
    volume = noise_volume(margin)
    values, weights, rotations = inputs(disk, 30)
    numerator, _ = insert_slices(values, weights, rotations, disk, margin)
    expected = inner(slice_volume(volume, rotations, disk), values)
    assert inner(volume, numerator) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("disk", DISKS)
def test_numba_is_the_adjoint_of_numba(disk: FourierDisk) -> None:
    margin = margin_for(disk.radius)
    (volume,) = single(noise_volume(margin))
    values, weights, rotations = single(*inputs(disk, 30))
    numerator, _ = insert_slices(values, weights, rotations, disk, margin)
    sliced = slice_volume(volume, rotations, disk)
    scale = float(sliced.norm() * values.norm())
    # float32 sums of a few hundred terms, relative to the product of the norms
    assert abs(inner(volume, numerator) - inner(sliced, values)) < 1e-6 * scale


@pytest.mark.parametrize("disk", DISKS)
def test_numba_agrees_with_the_twin(disk: FourierDisk) -> None:
    margin = margin_for(disk.radius)
    exact = insert_slices(*inputs(disk, 40), disk, margin)
    fast = insert_slices(*single(*inputs(disk, 40)), disk, margin)
    for ours, twin in zip(fast, exact, strict=True):
        assert ours.dtype.itemsize * 2 == twin.dtype.itemsize
        # near the origin all 40 slices add up in float32; a point within rounding of x = 0
        # may be read at its mate, which completion by Friedel's law makes good
        assert (ours - twin).abs().max() < 3e-5 * twin.abs().max()


def test_weights_are_spread_whole() -> None:
    """Trilinear weights sum to 1, so nothing is lost and nothing is made."""
    disk = DISKS[0]
    values, weights, rotations = inputs(disk, 20)
    margin = margin_for(disk.radius)
    numerator, denominator = insert_slices(values, weights, rotations, disk, margin)
    assert float(denominator.sum()) == pytest.approx(float(weights.sum()), rel=1e-12)
    assert (denominator >= 0).all()
    real = insert_slices(weights.to(values.dtype), weights, rotations, disk, margin)
    torch.testing.assert_close(real[0].real, denominator, rtol=0, atol=1e-12)
    assert numerator.shape == (2 * margin + 1, 2 * margin + 1, margin + 1)


def test_from_the_front_slices_land_on_grid_points() -> None:
    disk = DISKS[1]
    values, weights, _ = inputs(disk, 1)
    margin = margin_for(disk.radius)
    front = torch.eye(3, dtype=torch.float64)[None]
    numerator, denominator = insert_slices(values, weights, front, disk, margin)
    ky, kx = torch.as_tensor(disk.ky).long(), torch.as_tensor(disk.kx).long()
    assert torch.equal(numerator[margin, margin + 2 * ky, 2 * kx], values[0])
    assert torch.equal(denominator[margin, margin + 2 * ky, 2 * kx], weights[0])
    assert int((denominator > 0).sum()) == len(disk)


def test_batches_add_up() -> None:
    disk = DISKS[0]
    values, weights, rotations = inputs(disk, 30)
    margin = margin_for(disk.radius)
    whole = insert_slices(values, weights, rotations, disk, margin)
    parts = [
        insert_slices(values[rows], weights[rows], rotations[rows], disk, margin)
        for rows in (slice(0, 7), slice(7, 30))
    ]
    for together, first, second in zip(whole, *parts, strict=True):
        torch.testing.assert_close(together, first + second, rtol=0, atol=1e-12)


@pytest.mark.parametrize("precision", [single, lambda *tensors: tensors], ids=["cpu", "reference"])
def test_portions_are_one_volume(precision: Callable[..., tuple[torch.Tensor, ...]]) -> None:
    disk = DISKS[0]
    arguments = precision(*inputs(disk, 30))
    margin = margin_for(disk.radius)
    rows = (slice(0, 7), slice(7, 8), slice(8, 30))
    found = insert_portions((tuple(t[r] for t in arguments) for r in rows), disk, margin)
    for ours, whole in zip(found, insert_slices(*arguments, disk, margin), strict=True):
        # compiled: the same terms in the same order
        if ours.dtype in (torch.complex64, torch.float32):
            assert torch.equal(ours, whole)
        torch.testing.assert_close(ours, whole, rtol=0, atol=1e-12)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="numba found one core")
@pytest.mark.parametrize("disk", DISKS)
def test_threads_do_not_change_a_bit(disk: FourierDisk) -> None:
    arguments = single(*inputs(disk, 200))
    margin = margin_for(disk.radius) + 1
    found = []
    before = numba.get_num_threads()
    for threads in range(1, min(numba.config.NUMBA_NUM_THREADS, 4) + 1):
        numba.set_num_threads(threads)
        found.append(insert_slices(*arguments, disk, margin))
    numba.set_num_threads(before)
    for numerator, denominator in found[1:]:
        assert torch.equal(numerator, found[0][0])
        assert torch.equal(denominator, found[0][1])


def test_a_volume_too_small_is_refused() -> None:
    disk = DISKS[0]
    with pytest.raises(ValueError, match="cannot hold slices of radius"):
        insert_slices(*inputs(disk, 1), disk, margin_for(disk.radius) - 1)
