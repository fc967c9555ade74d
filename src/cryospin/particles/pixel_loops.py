"""Loops over the pixels of images, compiled: each touches them once and lets other threads run.

Sums are in single precision along a row, where they run at memory's speed, and in double
precision over rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numba
import numpy as np

from cryospin.fourier.disk import FourierDisk
from cryospin.particles.background import radius_grid

# not a number and infinity must show in the sums: neither may be assumed away
_jit: Any = numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
# the extremes of an image that has them are not used
_jit_extremes: Any = numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})


@dataclass(frozen=True)
class Moments:
    """What one look at images tells of each, (b,) float64; NaN or infinite where pixels are.

    outer_mean, outer_deviation: of the pixels outside a circle about the box's centre.
    checksum: of the image's bits, 64 of them.
    """

    mean: np.ndarray
    deviation: np.ndarray
    outer_mean: np.ndarray
    outer_deviation: np.ndarray
    low: np.ndarray
    high: np.ndarray
    checksum: np.ndarray

    @classmethod
    def of(cls, images: np.ndarray, radius: float) -> Moments:
        """Of images (b, d, d) in single precision, with a circle of `radius` pixels."""
        count, box, _ = images.shape
        start, stop = circle_runs(box, radius)
        sums = np.empty((6, count))
        checksum = np.empty(count, dtype=np.uint64)
        _look(images, images.view(np.uint32), start, stop, _multipliers(box), sums, checksum)
        outer = box**2 - (stop - start).sum()
        with np.errstate(all="ignore"):
            mean, square = sums[:2] / box**2
            outer_mean, outer_square = sums[2:4] / outer
            # the sums are of pixels less the first one
            return cls(
                mean + images[:, 0, 0],
                np.sqrt(np.maximum(square - mean**2, 0.0)),
                outer_mean + images[:, 0, 0],
                np.sqrt(np.maximum(outer_square - outer_mean**2, 0.0)),
                sums[4],
                sums[5],
                checksum,
            )


@_jit
def _look(
    images: np.ndarray,
    bits: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    multipliers: np.ndarray,
    sums: np.ndarray,
    checksums: np.ndarray,
) -> None:
    """Sums of pixels and of their squares, both outside the circle again, and the extremes."""
    for image in range(len(images)):
        # squares about a value near the mean, or an offset of 10^4 would leave no digits
        near = images[image, 0, 0]
        inside = inside_square = outside = outside_square = 0.0
        low = high = near
        checksum = np.uint64(0)
        for y in range(images.shape[1]):
            row = images[image, y]
            total, square = _sums(row[start[y] : stop[y]], near)
            inside += total
            inside_square += square
            for part in (row[: start[y]], row[stop[y] :]):
                total, square = _sums(part, near)
                outside += total
                outside_square += square
            smallest, largest = _extremes(row)
            low, high = min(low, smallest), max(high, largest)
            # a polynomial of the rows' products with random numbers
            checksum = checksum * np.uint64(0x9E3779B97F4A7C15) + _product(
                bits[image, y], multipliers
            )
        sums[0, image] = inside + outside
        sums[1, image] = inside_square + outside_square
        sums[2, image] = outside
        sums[3, image] = outside_square
        sums[4, image] = low
        sums[5, image] = high
        checksums[image] = checksum


@_jit
def _sums(pixels: np.ndarray, near: np.float32) -> tuple[np.float32, np.float32]:
    total = square = np.float32(0.0)
    for pixel in pixels:
        value = pixel - near
        total += value
        square += value * value
    return total, square


@_jit_extremes
def _extremes(pixels: np.ndarray) -> tuple[float, float]:
    low = high = pixels[0]
    for pixel in pixels:
        low = pixel if pixel < low else low
        high = pixel if pixel > high else high
    return low, high


@_jit
def _product(bits: np.ndarray, multipliers: np.ndarray) -> np.uint64:
    total = np.uint64(0)
    for x in range(len(bits)):
        total += np.uint64(bits[x]) * np.uint64(multipliers[x])
    return total


@_jit
def normalised(
    images: np.ndarray,
    chosen: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    mask: np.ndarray,
    rings: np.ndarray,
    squares: np.ndarray,
) -> np.ndarray:
    """(image - mean) / scale of the chosen images, times a mask: (len(chosen), d, d).

    mean, scale: of all images, float32. rings: `pixel_rings` of the box.
    squares: is added the sums of the squares before the mask, on each ring.
    """
    result = np.empty((len(chosen), *mask.shape), dtype=np.float32)
    for place, image in enumerate(chosen):
        level, factor = mean[image], np.float32(1.0) / scale[image]
        for y in range(mask.shape[0]):
            for x in range(mask.shape[1]):
                value = (images[image, y, x] - level) * factor
                result[place, y, x] = value * mask[y, x]
                squares[rings[y, x]] += value * value
    return result


@_jit
def add_shell_sums(
    spectra: np.ndarray,
    shells: np.ndarray,
    group: np.ndarray,
    power: np.ndarray,
    field: np.ndarray,
) -> None:
    """Add |F|^2 and Re F of centred images (b, d, d/2 + 1) to sums by group and shell.

    spectra: as `rfft2` gives them, origin in the corner. shells: `half_plane_shells`.
    """
    for image in range(len(spectra)):
        for y in range(spectra.shape[1]):
            for x in range(spectra.shape[2]):
                value = spectra[image, y, x]
                # the phase origin is the centre of the box
                real = -value.real if (x + y) & 1 else value.real
                power[group[image], shells[y, x]] += value.real**2 + value.imag**2
                field[group[image], shells[y, x]] += real


@lru_cache(maxsize=8)
def pixel_rings(box: int) -> np.ndarray:
    """Of each pixel the ring, one pixel wide, about the centre; d/2 stands for all farther out."""
    rings: np.ndarray = np.rint(radius_grid(box).numpy()).clip(max=box // 2).astype(np.int32)
    return rings


def half_plane_shells(disk: FourierDisk) -> np.ndarray:
    """Of each place in the half spectrum (d, d/2 + 1) the disk's shell; one more for the rest."""
    shells = np.full((disk.box, disk.box // 2 + 1), disk.shell.max() + 1, dtype=np.int32)
    shells.reshape(-1)[disk.places] = disk.shell
    return shells


@lru_cache(maxsize=8)
def circle_runs(box: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Of each row of a box, where the pixels within `radius` of its centre begin and end."""
    within = radius_grid(box).numpy() <= radius
    count = within.sum(axis=1)
    start = np.where(count > 0, within.argmax(axis=1), 0)
    return start, start + count


@lru_cache(maxsize=8)
def _multipliers(box: int) -> np.ndarray:
    """A random 32-bit number for each column."""
    return np.random.Generator(np.random.Philox(key=box)).integers(0, 2**32, box, np.uint32)
