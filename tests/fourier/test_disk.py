"""The disk's layout and its transforms. Identities are exact: float64, rounding only."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cryospin.fourier.disk import (
    FourierDisk,
    coefficients_to_images,
    images_to_coefficients,
    shift_phases,
)
from phantoms import disk_coefficients

BOX = 24
ROUNDING = {"rtol": 0, "atol": 1e-12}  # values are of order 1


def noise_images(count: int, box: int, seed: int) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(seed).normal(size=(count, box, box)))


@settings(max_examples=60, deadline=None)
@given(half_box=st.integers(2, 24), radius=st.floats(0, 30), inner=st.floats(0, 30))
def test_a_smaller_disk_is_a_prefix(half_box: int, radius: float, inner: float) -> None:
    disk = FourierDisk.of(2 * half_box, radius)
    smaller = FourierDisk.of(2 * half_box, min(inner, radius))
    prefix = disk.prefix(inner)
    assert len(prefix) == len(smaller) == disk.length_within(inner)
    for name in ("kx", "ky"):
        np.testing.assert_array_equal(getattr(prefix, name), getattr(smaller, name))
        np.testing.assert_array_equal(getattr(disk, name)[: len(prefix)], getattr(prefix, name))


def test_holds_one_of_each_friedel_pair_inside_the_radius() -> None:
    disk = FourierDisk.of(BOX, 7.3)
    held = set(zip(disk.kx.tolist(), disk.ky.tolist(), strict=True))
    assert len(held) == len(disk)
    for kx in range(-8, 9):
        for ky in range(-8, 9):
            inside = kx**2 + ky**2 <= 7.3**2
            assert ((kx, ky) in held) + ((-kx, -ky) in held) == inside * (1 + (kx == ky == 0))


def test_order_shells_and_lengths() -> None:
    disk = FourierDisk.of(BOX)
    assert disk.radius == BOX // 2 - 1
    assert (np.diff(disk.magnitude) >= 0).all()
    np.testing.assert_array_equal(disk.shell, np.round(np.hypot(disk.kx, disk.ky)))
    # a circle through grid points counts them
    assert disk.length_within(5.0) == (disk.kx**2 + disk.ky**2 <= 25).sum()


def test_radius_stops_short_of_nyquist() -> None:
    assert FourierDisk.of(BOX, 100.0).radius == BOX // 2 - 1


@pytest.mark.parametrize("box", [3, 2, 0, 33])
def test_odd_and_tiny_boxes_are_refused(box: int) -> None:
    with pytest.raises(ValueError, match=f"got {box}"):
        FourierDisk.of(box)


@pytest.mark.parametrize("radius", [None, 6.5])
def test_coefficients_survive_the_round_trip(radius: float | None) -> None:
    disk = FourierDisk.of(BOX, radius)
    values = disk_coefficients(3, disk, seed=1)
    back = images_to_coefficients(coefficients_to_images(values, disk), disk)
    torch.testing.assert_close(back, values, **ROUNDING)


def test_images_survive_but_for_what_lies_outside() -> None:
    disk = FourierDisk.of(BOX)
    images = noise_images(2, BOX, seed=2)
    spectrum = torch.fft.fft2(images)
    k = torch.fft.fftfreq(BOX, 1 / BOX)
    spectrum[:, (k[:, None] ** 2 + k**2) > disk.radius**2] = 0
    band_limited = torch.fft.ifft2(spectrum).real
    for given_images in (images, band_limited):
        back = coefficients_to_images(images_to_coefficients(given_images, disk), disk)
        torch.testing.assert_close(back, band_limited, **ROUNDING)


def test_phases_are_counted_from_the_centre_pixel() -> None:
    disk = FourierDisk.of(BOX)
    image = torch.zeros(BOX, BOX, dtype=torch.float64)
    image[BOX // 2, BOX // 2] = BOX
    ones = torch.ones(len(disk), dtype=torch.complex128)
    torch.testing.assert_close(images_to_coefficients(image, disk), ones, **ROUNDING)


@settings(max_examples=20, deadline=None)
@given(x=st.integers(-30, 30), y=st.integers(-30, 30), seed=st.integers(0, 99))
def test_a_whole_pixel_shift_is_a_roll(x: int, y: int, seed: int) -> None:
    disk = FourierDisk.of(BOX)
    images = noise_images(1, BOX, seed)
    rolled = images_to_coefficients(torch.roll(images, (y, x), dims=(1, 2)), disk)
    moved = images_to_coefficients(images, disk) * shift_phases(
        torch.tensor([[float(x), float(y)]], dtype=torch.float64), disk
    )
    torch.testing.assert_close(moved, rolled, rtol=0, atol=1e-11)


def test_shifts_add_up() -> None:
    disk = FourierDisk.of(BOX)
    first, second = torch.randn(2, 5, 2, dtype=torch.float64, generator=torch.manual_seed(0))
    product = shift_phases(first, disk) * shift_phases(second, disk)
    torch.testing.assert_close(product, shift_phases(first + second, disk), **ROUNDING)


def test_power_is_kept() -> None:
    """Parseval over the half-plane: all but the origin stand for two."""
    disk = FourierDisk.of(BOX)
    values = disk_coefficients(3, disk, seed=4)
    images = coefficients_to_images(values, disk)
    twice = torch.full((len(disk),), 2.0, dtype=torch.float64)
    twice[0] = 1.0
    torch.testing.assert_close(
        (values.abs().square() * twice).sum(-1), images.square().sum((1, 2)), rtol=1e-12, atol=0
    )


def test_white_noise_keeps_its_variance() -> None:
    disk = FourierDisk.of(BOX)
    power = images_to_coefficients(noise_images(4000, BOX, seed=5), disk).abs().square().mean(0)
    # of 4000 |z|^2 the mean is 1 +- 0.016, and +- 0.022 for the real one at the origin; the
    # largest deviation among 200 is below 5 sigma
    assert (power - 1).abs().max() < 0.11
    assert abs(power.mean() - 1) < 0.01


@pytest.mark.parametrize("finer", [2 * BOX, 3 * BOX])
def test_a_finer_box_samples_the_same_image(finer: int) -> None:
    disk = FourierDisk.of(BOX)
    values = disk_coefficients(2, disk, seed=6)
    fine = coefficients_to_images(values, disk, finer)
    step = finer // BOX
    start = finer // 2 - step * (BOX // 2)
    torch.testing.assert_close(
        fine[:, start::step, start::step], coefficients_to_images(values, disk), **ROUNDING
    )


def test_leading_dimensions_are_free() -> None:
    disk = FourierDisk.of(BOX, 5)
    images = noise_images(6, BOX, seed=7)
    flat = images_to_coefficients(images, disk)
    nested = images_to_coefficients(images.view(2, 3, BOX, BOX), disk)
    assert torch.equal(nested.view(6, -1), flat)
    assert torch.equal(
        coefficients_to_images(nested, disk).view(6, BOX, BOX), coefficients_to_images(flat, disk)
    )
