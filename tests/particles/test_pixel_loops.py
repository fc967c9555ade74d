"""One look at images against numpy, and a checksum that sees every bit and its place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cryospin.particles.background import radius_grid
from cryospin.particles.pixel_loops import Moments


def noise(box: int, offset: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(box)
    return (rng.normal(size=(5, box, box)) + offset).astype(np.float32)


@pytest.mark.parametrize("offset", [0.0, -3e4])
@pytest.mark.parametrize("box", [16, 30, 64])
def test_moments_are_those_of_numpy(box: int, offset: float) -> None:
    images = noise(box, offset)
    outside = (radius_grid(box) > 0.5 * box - 4).numpy()
    seen = Moments.of(images, 0.5 * box - 4)
    exact = images.astype(np.float64)
    for part, mean, deviation in (
        (exact.reshape(5, -1), seen.mean, seen.deviation),
        (exact[:, outside], seen.outer_mean, seen.outer_deviation),
    ):
        # single precision along a row, of values near zero
        np.testing.assert_allclose(mean, part.mean(axis=1), atol=1e-6)
        np.testing.assert_allclose(deviation, part.std(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(seen.low, images.min(axis=(1, 2)))
    np.testing.assert_array_equal(seen.high, images.max(axis=(1, 2)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (8, 8), (15, 3)])
def test_what_is_not_finite_shows(value: float, place: tuple[int, int]) -> None:
    images = noise(16)
    images[(2, *place)] = value
    seen = Moments.of(images, 4.0)
    finite = np.isfinite(seen.mean) & np.isfinite(seen.deviation)
    np.testing.assert_array_equal(finite, [True, True, False, True, True])


@pytest.mark.parametrize(
    "other",
    [
        lambda image: np.flipud(image),
        lambda image: np.fliplr(image),
        lambda image: image.T,
        lambda image: np.roll(image, 1, axis=0),
        lambda image: np.roll(image, 1, axis=1),
        lambda image: np.where(image == image[7, 5], np.nextafter(image, np.float32(9)), image),
        lambda image: np.where(image == image[0, 0], -image, image),
    ],
)
def test_other_images_have_other_checksums(other: Callable[[np.ndarray], np.ndarray]) -> None:
    image = noise(16)[0]
    both = np.stack([image, other(image)]).astype(np.float32)
    first, second = Moments.of(both, 4.0).checksum
    assert first != second


def test_an_image_has_its_checksum_in_any_block() -> None:
    images = noise(16)
    whole = Moments.of(images, 4.0).checksum
    np.testing.assert_array_equal(Moments.of(images[3:].copy(), 4.0).checksum, whole[3:])
