"""Central slices: geometry exact through the float64 twin, numba held to the twin, and both to
what is known in closed form and to an outside program."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import torch
from torch_fourier_slice import project_3d_to_2d

from cryospin.fourier.disk import FourierDisk, coefficients_to_images, images_to_coefficients
from cryospin.kernels import margin_for, slice_volume
from cryospin.volumes.gridded import map_to_volume
from phantoms import Blobs, random_turns

BOX = 32
DISK = FourierDisk.of(BOX)
EXACT = {"rtol": 0, "atol": 1e-11}  # float64 rounding of coefficients of order 1

needs_two_threads = pytest.mark.skipif(
    numba.config.NUMBA_NUM_THREADS < 2, reason="numba found one core"
)


def noise_volume(seed: int = 0) -> torch.Tensor:
    """Of a map of white noise: nothing is smooth, so no mistake of a grid point hides."""
    generator = torch.manual_seed(seed)
    values = torch.randn(BOX, BOX, BOX, dtype=torch.float64, generator=generator)
    return map_to_volume(values, BOX, DISK.radius)


def lookup(kx: np.ndarray, ky: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Where on the disk (kx, ky) or its mate lies, and whether it is the mate."""
    held = zip(DISK.kx.tolist(), DISK.ky.tolist(), strict=True)
    place = {pair: i for i, pair in enumerate(held)}
    pairs = list(zip(kx.tolist(), ky.tolist(), strict=True))
    mate = torch.tensor([pair not in place for pair in pairs])
    index = [place.get(pair, place.get((-pair[0], -pair[1]))) for pair in pairs]
    return torch.tensor(index), mate


def test_numba_agrees_with_the_twin() -> None:
    volume, rotations = noise_volume(), random_turns(50, seed=1)
    exact = slice_volume(volume, rotations, DISK)
    fast = slice_volume(volume.to(torch.complex64), rotations.float(), DISK)
    assert fast.dtype == torch.complex64
    # coordinates reach 30 in float32 (rounding 2e-6) and neighbours differ by several units
    assert (fast - exact).abs().max() < 1e-4
    assert (fast - exact).abs().square().mean().sqrt() < 5e-6 * exact.abs().square().mean().sqrt()


def test_from_the_front_it_is_every_second_grid_point() -> None:
    volume = noise_volume()
    margin = volume.shape[-1] - 1
    sliced = slice_volume(volume, torch.eye(3, dtype=torch.float64)[None], DISK)[0]
    ky, kx = torch.as_tensor(DISK.ky).long(), torch.as_tensor(DISK.kx).long()
    torch.testing.assert_close(sliced, volume[margin, margin + 2 * ky, 2 * kx], **EXACT)


def test_from_the_front_the_image_is_the_sum_along_z() -> None:
    """On grid points nothing is interpolated, and the gridding correction is still there."""
    density = Blobs.random(1).density(BOX)
    axis = (torch.arange(BOX) - BOX // 2) / (2.0 * BOX)
    window = torch.sinc(axis) ** 2
    window = window[:, None, None] * window[:, None] * window
    volume = map_to_volume(density, BOX, DISK.radius)
    sliced = slice_volume(volume, torch.eye(3, dtype=torch.float64)[None], DISK)[0]
    projection = images_to_coefficients((density / window).sum(0), DISK)
    # the window is computed in float32
    torch.testing.assert_close(sliced, projection, rtol=0, atol=1e-7)


def test_slices_of_blobs_are_their_projections() -> None:
    """Interpolation dampens nothing on a grid point and most between them: the gridding
    correction is right on average, and at twofold oversampling 2 % (rms) is left."""
    blobs = Blobs.random(2)
    volume = map_to_volume(blobs.density(BOX), BOX, DISK.radius)
    rotations = random_turns(60, seed=3)
    sliced = slice_volume(volume, rotations, DISK)
    known = blobs.coefficients(rotations, DISK)
    power = known.abs().square().sum()
    assert ((sliced - known).abs().square().sum() / power).sqrt() < 0.025
    away_from_the_origin = slice(1, None)  # which is always on a grid point
    known, sliced = known[:, away_from_the_origin], sliced[:, away_from_the_origin]
    scale = (known.conj() * sliced).real.sum() / known.abs().square().sum()
    assert abs(scale - 1) < 0.005


def correlations(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Pearson's, of each pair of images."""
    a, b = (images.flatten(1) - images.mean((1, 2))[:, None] for images in (first, second))
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


def test_agrees_with_torch_fourier_slice() -> None:
    blobs = Blobs.random(4)
    density, rotations = blobs.density(BOX), random_turns(20, seed=5)
    volume = map_to_volume(density, BOX, DISK.radius)
    ours = coefficients_to_images(slice_volume(volume, rotations, DISK), DISK)
    # theirs turns the slice, ours the object: transposed
    theirs = project_3d_to_2d(density.float(), rotations.mT.float(), pad_factor=2.0).double()
    a, b = (
        images.flatten(1) - images.flatten(1).mean(1, keepdim=True) for images in (ours, theirs)
    )
    correlation = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    assert correlation.min() > 0.999
    wrong = project_3d_to_2d(density.float(), rotations.float(), pad_factor=2.0).double()
    c = wrong.flatten(1) - wrong.flatten(1).mean(1, keepdim=True)
    assert ((a * c).sum(1) / (a.norm(dim=1) * c.norm(dim=1))).median() < 0.95


def test_a_half_turn_in_the_plane_conjugates() -> None:
    volume, rotations = noise_volume(), random_turns(5, seed=6)
    half_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64))
    turned = slice_volume(volume, half_turn @ rotations, DISK)
    torch.testing.assert_close(turned, slice_volume(volume, rotations, DISK).conj(), **EXACT)


def test_a_quarter_turn_in_the_plane_turns_the_disk() -> None:
    """P(Q R)(k) = P(R)(Q^T k)."""
    volume, rotations = noise_volume(), random_turns(5, seed=7)
    quarter = torch.tensor([[0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    turned = slice_volume(volume, quarter @ rotations, DISK)
    index, mate = lookup(DISK.ky, -DISK.kx)
    plain = slice_volume(volume, rotations, DISK)[:, index]
    torch.testing.assert_close(turned, torch.where(mate, plain.conj(), plain), **EXACT)


def test_turning_the_object_is_turning_the_view() -> None:
    """Slices at R of an object turned by G are slices of the object at R G."""
    blobs, rotations = Blobs.random(8), random_turns(5, seed=8)
    turn = random_turns(1, seed=9)[0]
    moved = Blobs(blobs.positions @ turn.T, blobs.weights, blobs.sigmas)
    first = slice_volume(map_to_volume(moved.density(BOX), BOX, 15), rotations, DISK)
    second = slice_volume(map_to_volume(blobs.density(BOX), BOX, 15), rotations @ turn, DISK)
    # both carry the interpolation's 2 %, see test_slices_of_blobs_are_their_projections
    assert ((first - second).norm() / first.norm()) < 0.03


@pytest.mark.parametrize("single", [False, True])
def test_a_smaller_radius_is_a_prefix(single: bool) -> None:
    volume, rotations = noise_volume(), random_turns(5, seed=10)
    if single:
        volume, rotations = volume.to(torch.complex64), rotations.float()
    small = DISK.prefix(6.5)
    whole = slice_volume(volume, rotations, DISK)
    # a matrix product or a vector loop of another length may round otherwise
    torch.testing.assert_close(
        slice_volume(volume, rotations, small),
        whole[:, : len(small)],
        rtol=0,
        atol=1e-4 if single else 1e-11,
    )


def test_is_linear_in_the_volume() -> None:
    first, second = noise_volume(1), noise_volume(2)
    rotations = random_turns(5, seed=11)
    together = slice_volume(2 * first - 3 * second, rotations, DISK)
    apart = 2 * slice_volume(first, rotations, DISK) - 3 * slice_volume(second, rotations, DISK)
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-10)


def test_gradients_flow_to_volume_and_rotations() -> None:
    disk = FourierDisk.of(8, 2.0)
    margin = margin_for(2.0)
    volume = Blobs.random(1, spread=1.0).volume(margin, 8).requires_grad_()
    rotations = random_turns(2, seed=12).requires_grad_()
    # along random directions: element by element it takes half a minute
    assert torch.autograd.gradcheck(
        lambda v, r: slice_volume(v, r, disk), (volume, rotations), fast_mode=True
    )
    # float32 with a gradient is not for numba
    single = volume.detach().to(torch.complex64).requires_grad_()
    slice_volume(single, rotations.detach().float(), disk).abs().sum().backward()
    assert single.grad is not None and single.grad.abs().sum() > 0


def test_a_volume_too_small_is_refused() -> None:
    volume = noise_volume()[2:-2, 2:-2, :-2]
    with pytest.raises(ValueError, match="cannot hold slices of radius"):
        slice_volume(volume, random_turns(1, seed=1), DISK)


@needs_two_threads
def test_threads_change_nothing() -> None:
    volume, rotations = noise_volume().to(torch.complex64), random_turns(9, seed=13).float()
    found = []
    before = numba.get_num_threads()
    for threads in (1, 2):
        numba.set_num_threads(threads)
        found.append(slice_volume(volume, rotations, DISK))
    numba.set_num_threads(before)
    assert torch.equal(*found)
