"""Maps from inserted slices and Fourier volumes from maps, against an object known exactly."""

from __future__ import annotations

import pytest
import torch

from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.kernels import insert_slices, margin_for, slice_volume
from cryospin.rotations.symmetry import symmetry_group
from cryospin.volumes.gridded import (
    SliceSums,
    complete_friedel,
    map_to_volume,
    spherical_support,
    volume_to_map,
    wiener_volume,
)
from cryospin.volumes.volume_shells import shells_of_volume
from phantoms import Blobs, disk_coefficients, random_turns

BOX = 32
DISK = FourierDisk.of(BOX)
IDENTITY = torch.eye(3)[None]
NO_PRIOR = torch.full((BOX // 2 + 1,), 1e-6)


def inserted(
    blobs: Blobs, disk: FourierDisk, count: int, seed: int, operators: torch.Tensor = IDENTITY
) -> SliceSums:
    """Noiseless slices at random orientations, all of weight 1."""
    rotations = random_turns(count, seed)
    values = blobs.coefficients(rotations, disk).to(torch.complex64)
    weights = torch.ones(count, len(disk))
    margin = margin_for(disk.radius)
    return SliceSums.inserted(values, weights, rotations.float(), disk, margin, operators)


def window(grid: int) -> torch.Tensor:
    """sinc^2 across the field of view: what trilinear interpolation does to a map."""
    axis = torch.sinc((torch.arange(grid).double() - grid // 2) / (2 * grid)) ** 2
    return axis[:, None, None] * axis[:, None] * axis


def test_there_and_back_divides_by_the_window_twice() -> None:
    """Once for the slicing to come, once for the insertion that was: nothing else happens to
    a map but the loss of the padded Nyquist planes (1e-5)."""
    density = Blobs.random(1).density(BOX)
    back = volume_to_map(map_to_volume(density, BOX, DISK.radius), BOX, BOX)
    expected = density / window(BOX) ** 2
    torch.testing.assert_close(back, expected, rtol=0, atol=1e-5 * float(density.max()))


def test_volume_is_the_transform_of_the_map() -> None:
    """But for the gridding correction, which for a small object in the middle is near 1."""
    blobs = Blobs(
        torch.zeros(1, 3).double(), torch.ones(1).double(), torch.full((1,), 1.5).double()
    )
    volume = map_to_volume(blobs.density(BOX), BOX, DISK.radius)
    known = blobs.volume(margin_for(DISK.radius), BOX)
    # sinc^-2 at sigma from the centre of a box of 64 is 1.002 for each axis
    assert (volume - known).abs().max() < 0.01 * known.abs().max()


@pytest.mark.parametrize("grid", [24, 48, 64])
def test_another_grid_samples_the_same_function(grid: int) -> None:
    blobs = Blobs.random(2, sigma=2.5)
    volume = map_to_volume(blobs.density(BOX), BOX, DISK.radius)
    known = blobs.density(grid, BOX)
    found = volume_to_map(volume, BOX, grid) * window(grid) ** 2
    # what the coarsest grid, 24, cannot hold of blobs of sigma 2.5 is 1e-4 of the peak
    torch.testing.assert_close(found, known, rtol=0, atol=1e-3 * float(known.max()))


@pytest.mark.parametrize("grid", [24, 48])
def test_a_volume_does_not_depend_on_the_grid_of_its_map(grid: int) -> None:
    """Inside what the coarser grid can hold."""
    blobs = Blobs.random(3, sigma=2.5)
    radius = 9.0
    expected = map_to_volume(blobs.density(BOX), BOX, radius)
    found = map_to_volume(blobs.density(grid, BOX), BOX, radius)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-3 * expected.abs().max()


def test_a_grid_coarser_than_the_volume_leaves_the_rest_empty() -> None:
    volume = map_to_volume(Blobs.random(3).density(16, BOX), BOX, DISK.radius)
    beyond = shells_of_volume(volume.shape[-1] - 1) > 8 * 3**0.5
    assert beyond.any() and (volume[beyond] == 0).all()


def test_friedel_completion_makes_the_plane_hermitian() -> None:
    margin = margin_for(DISK.radius)
    values, rotations = disk_coefficients(20, DISK, 1), random_turns(20, 1)
    weights = values.abs().square()
    numerator, denominator = insert_slices(values, weights, rotations, DISK, margin)
    one_sided = denominator[:, :, 0].clone()
    complete_friedel(numerator), complete_friedel(denominator)
    plane = numerator[:, :, 0]
    assert torch.equal(plane, plane.flip(0, 1).conj())
    assert torch.equal(denominator[:, :, 0], denominator[:, :, 0].flip(0, 1))
    assert torch.equal(denominator[:, :, 0], one_sided + one_sided.flip(0, 1))


def test_either_member_of_a_friedel_pair_gives_the_same_sums() -> None:
    """A disk of mates -k with conjugate values is the same data."""
    mates = FourierDisk(BOX, DISK.radius, -DISK.kx, -DISK.ky)
    values, rotations = disk_coefficients(20, DISK, 2), random_turns(20, 2)
    weights = values.abs().square()
    margin = margin_for(DISK.radius)
    first = insert_slices(values, weights, rotations, DISK, margin)
    second = insert_slices(values.conj(), weights, rotations, mates, margin)
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(complete_friedel(a), complete_friedel(b), rtol=0, atol=1e-11)


def test_noiseless_slices_give_the_map_back() -> None:
    """1500 slices of a box of 32 leave no hole. Gridding leaks some 1e-4 of the power from low
    to high frequency, so the object is one of small blobs with power left at shell 13."""
    blobs = Blobs.random(4, sigma=0.8)
    sums = inserted(blobs, DISK, 1500, seed=5)
    volume = wiener_volume(sums.numerator, sums.denominator, NO_PRIOR, DISK.radius)
    found, known = volume_to_map(volume, BOX, BOX), blobs.density(BOX)
    support = spherical_support(BOX, 14.0, 2.0)
    curve = fourier_shell_correlation(found.double() * support, known * support)
    assert curve[:13].min() > 0.99
    scale = (found * known).sum() / known.square().sum()
    assert float(scale) == pytest.approx(1.0, abs=0.01)


def test_slices_of_the_solved_map_are_the_images_it_came_from() -> None:
    blobs = Blobs.random(5)
    sums = inserted(blobs, DISK, 1500, seed=6)
    volume = wiener_volume(sums.numerator, sums.denominator, NO_PRIOR, DISK.radius)
    rotations = random_turns(20, seed=7)
    again = map_to_volume(volume_to_map(volume, BOX, BOX), BOX, DISK.radius)
    sliced = slice_volume(again, rotations.float(), DISK)
    known = blobs.coefficients(rotations, DISK)
    # Twice through the interpolation, 2 % each (tests/kernels/test_slice.py). Not so the origin:
    # of the grid points about it, slices reach only those a whole pixel away.
    sliced, known = sliced[:, 1:], known[:, 1:]
    assert (sliced - known).norm() < 0.04 * known.norm()


def test_weights_weigh() -> None:
    """Two contradicting data sets of weights 3 and 1 give 3/4 of one and 1/4 of the other."""
    blobs = Blobs.random(6)
    disk = FourierDisk.of(BOX, 8.0)
    rotations = random_turns(400, seed=8)
    values = blobs.coefficients(rotations, disk).to(torch.complex64)
    weights, rotations = torch.ones(400, len(disk)), rotations.float()
    margin = margin_for(disk.radius)
    first = SliceSums.inserted(3 * values, 3 * weights, rotations, disk, margin, IDENTITY)
    second = SliceSums.inserted(-values, weights, rotations, disk, margin, IDENTITY)
    plain = SliceSums.inserted(values, weights, rotations, disk, margin, IDENTITY)
    both = first + second
    prior = torch.zeros(BOX // 2)
    found = wiener_volume(both.numerator, both.denominator, prior, 8.0)
    expected = wiener_volume(plain.numerator, plain.denominator, prior, 8.0) * 0.5
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_prior_shrinks_by_shell() -> None:
    margin = margin_for(6.0)
    shape = (2 * margin + 1, 2 * margin + 1, margin + 1)
    numerator = torch.ones(shape, dtype=torch.complex64)
    denominator = torch.full(shape, 2.0)
    precision = torch.arange(8.0)  # equals the shell, so interpolation gives |k|
    volume = wiener_volume(numerator, denominator, precision, 5.0)
    shells = shells_of_volume(margin)
    expected = torch.where(shells <= 5.0, 1 / (2 + shells), 0.0)
    torch.testing.assert_close(volume.real, expected)


def test_empty_places_stay_empty() -> None:
    margin = margin_for(6.0)
    shape = (2 * margin + 1, 2 * margin + 1, margin + 1)
    zero = torch.zeros(shape)
    volume = wiener_volume(zero.to(torch.complex64), zero, torch.zeros(8), 6.0)
    assert (volume == 0).all()


@pytest.mark.parametrize("symmetry", ["C3", "D2", "O"])
def test_symmetry_inserts_every_equivalent(symmetry: str) -> None:
    operators = symmetry_group(symmetry).float()
    disk = FourierDisk.of(BOX, 8.0)
    blobs = Blobs.random(7)
    sums = inserted(blobs, disk, 10, 9, operators)
    rotations = random_turns(10, 9)
    values = blobs.coefficients(rotations, disk).to(torch.complex64)
    weights = torch.ones(10, len(disk))
    every = (rotations.float()[:, None] @ operators).reshape(-1, 3, 3)
    expected = SliceSums.inserted(
        values.repeat_interleave(len(operators), 0),
        weights.repeat_interleave(len(operators), 0),
        every,
        disk,
        sums.margin,
        IDENTITY,
    )
    # the same float32 terms in another order
    torch.testing.assert_close(sums.numerator, expected.numerator, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(sums.denominator, expected.denominator, rtol=1e-5, atol=1e-4)


def test_the_map_of_symmetric_sums_is_symmetric() -> None:
    sums = inserted(Blobs.random(8), DISK, 600, 10, symmetry_group("C4").float())
    volume = wiener_volume(sums.numerator, sums.denominator, NO_PRIOR, DISK.radius)
    density = volume_to_map(volume, BOX, BOX)
    # a quarter turn about z of an even box keeps the centre once row and column 0 are dropped
    inside = density[:, 1:, 1:]
    error = (torch.rot90(inside, 1, (1, 2)) - inside).abs().max()
    assert error < 1e-4 * density.abs().max()


def test_blending_forgets_and_takes() -> None:
    first, second = (inserted(Blobs.random(s), FourierDisk.of(BOX, 4.0), 5, s) for s in (1, 2))
    replaced = first.blended(second, 1.0, 3.0)
    torch.testing.assert_close(replaced.numerator, 3 * second.numerator)
    torch.testing.assert_close(replaced.denominator, 3 * second.denominator)
    part = first.blended(second, 0.25, 1.0)
    torch.testing.assert_close(part.numerator, 0.75 * first.numerator + 0.25 * second.numerator)
    assert torch.equal(first.blended(second, 0.0, 1.0).denominator, first.denominator)


def test_spherical_support_is_one_inside_and_zero_outside() -> None:
    support = spherical_support(BOX, 10.0, 3.0)
    axis = torch.arange(BOX) - BOX // 2
    radius = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).float().sqrt()
    assert (support[radius <= 10] == 1).all() and (support[radius >= 13] == 0).all()
    assert ((support >= 0) & (support <= 1)).all()
