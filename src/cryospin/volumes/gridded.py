"""From sums over inserted slices to a map, and from a map to the volume slices are cut from.

Given poses the map is a closed form: numerator / (denominator + prior), no learning rate.
Trilinear interpolation in Fourier space multiplies the map by sinc^2; both directions undo it
(gridding correction).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Complex, Float
from scipy.fft import next_fast_len
from torch import Tensor

from cryospin.fourier.disk import FourierDisk, moved
from cryospin.fourier.image_batch import ImageBatch
from cryospin.fourier.volume import volume_of_spectrum, volume_spectrum
from cryospin.kernels import OVERSAMPLING, Portion, insert_portions, margin_for
from cryospin.parallel import CPU, in_blocks_on
from cryospin.volumes.volume_shells import shells_of_volume

_PORTION = 1000  # images whose weighted copies are in memory at once
_PORTION_ON_A_CARD = 5000
_BLOCK = 50  # and those one thread makes at once
_PLANES = 16  # of a volume that one thread works on


def complete_friedel(volume: Tensor) -> Tensor:
    """Add to the plane x = 0 its mirrored conjugate: `insert_slices` fills one side of it."""
    plane = volume[:, :, 0]
    mate = plane.flip(0, 1)
    volume[:, :, 0] = plane + (mate.conj() if volume.is_complex() else mate)
    return volume


def wiener_volume(
    numerator: Complex[Tensor, "z y x"],
    denominator: Float[Tensor, "z y x"],
    prior_precision: Float[Tensor, " s"],
    radius: float,
) -> Complex[Tensor, "z y x"]:
    """numerator / (denominator + 1/tau^2(shell)) inside `radius`, zero outside.

    `prior_precision` is the inverse variance 1/tau^2 of the map's coefficients per shell of
    the box, interpolated between shells (Scheres 2012, eq. 8, on whitened data).
    """
    shells = shells_of_volume(numerator.shape[-1] - 1, device=numerator.device)
    last = len(prior_precision) - 1
    volume = torch.empty_like(numerator)

    def divide(planes: slice) -> None:
        shell = shells[planes]
        low = shell.floor().long().clamp_max(last)
        high = (low + 1).clamp_max(last)
        precision = torch.lerp(prior_precision[low], prior_precision[high], shell - shell.floor())
        values = numerator[planes] / (denominator[planes] + precision).clamp_min(1e-12)
        volume[planes] = torch.where(shell <= radius, values, torch.zeros_like(values))

    for _ in in_blocks_on(volume.device, divide, len(volume), _PLANES):
        pass
    return volume


def volume_to_map(
    volume: Complex[Tensor, "z y x"], box: int, grid: int, oversampling: int = OVERSAMPLING
) -> Float[Tensor, "g g g"]:
    """The map on `grid` voxels across the field of view of a `box`-pixel image.

    Values are densities per original pixel: a coarser grid samples the same function.
    """
    size = grid * oversampling
    margin = volume.shape[-1] - 1
    keep = min(margin, size // 2 - 1)
    device = volume.device
    spectrum = torch.zeros(size, size, size // 2 + 1, dtype=volume.dtype, device=device)
    inner = volume[margin - keep : margin + keep + 1, margin - keep : margin + keep + 1, : keep + 1]
    rows = torch.arange(-keep, keep + 1, device=device) % size
    spectrum[rows[:, None], rows[None, :], : keep + 1] = inner * _centring_signs(keep, device)
    padded = volume_of_spectrum(spectrum, (size, size, size))
    start = size // 2 - grid // 2
    inside = padded[start : start + grid, start : start + grid, start : start + grid]
    inside = inside * (size / oversampling) ** 3
    return inside / _interpolation_window(grid, oversampling, device) / _units(box)


def map_of(
    sums: SliceSums,
    prior_precision: Float[Tensor, " s"],
    radius: float,
    box: int,
    support: Float[Tensor, "g g g"],
) -> Float[Tensor, "g g g"]:
    """The Wiener map (`wiener_volume`) on the grid of the support mask, and inside it."""
    volume = wiener_volume(sums.numerator, sums.denominator, prior_precision, radius)
    return volume_to_map(volume, box, support.shape[-1]) * support


def map_to_volume(
    values: Float[Tensor, "g g g"],
    box: int,
    radius: float,
    oversampling: int = OVERSAMPLING,
) -> Complex[Tensor, "z y x"]:
    """The oversampled Fourier volume whose trilinear slices are the map's projections."""
    grid = values.shape[-1]
    size = grid * oversampling
    margin = margin_for(radius, oversampling)
    device = values.device
    corrected = values / _interpolation_window(grid, oversampling, device)
    padded = torch.zeros(size, size, size, dtype=values.dtype, device=device)
    start = size // 2 - grid // 2
    padded[start : start + grid, start : start + grid, start : start + grid] = corrected
    spectrum = volume_spectrum(padded)
    keep = min(margin, size // 2 - 1)
    rows = torch.arange(-keep, keep + 1, device=device) % size
    shape = (2 * margin + 1, 2 * margin + 1, margin + 1)
    volume = torch.zeros(shape, dtype=spectrum.dtype, device=device)
    inner = spectrum[rows[:, None], rows[None, :], : keep + 1] * _centring_signs(keep, device)
    volume[margin - keep : margin + keep + 1, margin - keep : margin + keep + 1, : keep + 1] = (
        inner * (_units(box) / grid**3)
    )
    return volume


def _units(box: int) -> float:
    """Images are transformed with norm 1/d: a projection's coefficient is fft3(map) / d,
    with fft3 summing the d^3 voxels of the box."""
    return float(box) ** 2


@lru_cache(maxsize=8)
def _centring_signs(keep: int, device: torch.device) -> Tensor:
    """(-1)^(x+y+z): moves the origin to the centre of an even padded grid."""
    axis = 1.0 - 2.0 * (torch.arange(-keep, keep + 1, device=device) % 2)
    return axis[:, None, None] * axis[None, :, None] * axis[keep:]


@lru_cache(maxsize=8)
def _interpolation_window(grid: int, oversampling: int, device: torch.device) -> Tensor:
    """sinc^2 along each axis: what trilinear interpolation multiplies the map by; not to be
    written to."""
    axis = (np.arange(grid) - grid // 2) / (grid * oversampling)
    window = torch.as_tensor(np.sinc(axis) ** 2, dtype=torch.float32, device=device)
    return window[:, None, None] * window[None, :, None] * window[None, None, :]


def spherical_support(
    grid: int, radius: float, edge: float, device: torch.device = CPU
) -> Float[Tensor, "g g g"]:
    """1 inside a sphere of `radius` voxels, raised-cosine fall over `edge` voxels."""
    axis = torch.arange(grid, dtype=torch.float32, device=device) - grid // 2
    distance = (
        axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    ).sqrt()
    fall = ((distance - radius) / edge).clamp(0, 1)
    return 0.5 + 0.5 * torch.cos(np.pi * fall)


def support_sphere(
    box: int, radius: float, fraction: float, device: torch.device = CPU
) -> Float[Tensor, "g g g"]:
    """Soft sphere of `fraction` boxes on the smallest even grid that holds Fourier `radius` and is
    quickly transformed."""
    grid = min(box, 2 * next_fast_len(int(np.ceil(radius + 2)), real=True))
    return spherical_support(grid, fraction * grid, 0.07 * grid, device)


PosedImages = tuple[
    ImageBatch, Float[Tensor, "n 3 3"], Float[Tensor, "n 2"], Float[Tensor, " n"] | None
]
"""Images, their rotations, shifts in pixels, and weights."""


@dataclass(frozen=True)
class SliceSums:
    """Numerator and denominator of a map: all the data say about it, given poses."""

    numerator: Complex[Tensor, "z y x"]
    denominator: Float[Tensor, "z y x"]

    @property
    def margin(self) -> int:
        return self.numerator.shape[-1] - 1

    @classmethod
    def inserted(
        cls,
        values: Complex[Tensor, "n k"],
        weights: Float[Tensor, "n k"],
        rotations: Float[Tensor, "n 3 3"],
        disk: FourierDisk,
        margin: int,
        operators: Float[Tensor, "g 3 3"],
    ) -> SliceSums:
        """Insert slices at every symmetry-equivalent orientation R S, completed by Friedel."""
        return cls._of_portions([(values, weights, rotations)], disk, margin, operators)

    @classmethod
    def _of_portions(
        cls,
        portions: Iterable[Portion],
        disk: FourierDisk,
        margin: int,
        operators: Float[Tensor, "g 3 3"],
    ) -> SliceSums:
        turned = (
            (values, weights, rotations @ operator)
            for values, weights, rotations in portions
            for operator in operators
        )
        numerator, denominator = insert_portions(turned, disk, margin)
        return cls(complete_friedel(numerator), complete_friedel(denominator))

    @classmethod
    def of_images(
        cls,
        images: ImageBatch,
        rotations: Float[Tensor, "n 3 3"],
        shifts_pixel: Float[Tensor, "n 2"],
        margin: int,
        operators: Float[Tensor, "g 3 3"],
        weight: Float[Tensor, " n"] | None = None,
    ) -> SliceSums:
        """Images at their poses, each with its weight (default 1)."""
        batch = (images, rotations, shifts_pixel, weight)
        return cls.of_batches([batch], images.disk, margin, operators)

    @classmethod
    def of_batches(
        cls,
        batches: Iterable[PosedImages],
        disk: FourierDisk,
        margin: int,
        operators: Float[Tensor, "g 3 3"],
    ) -> SliceSums:
        """As `of_images`, of batches each of which is made when its turn comes.

        In portions, whose weighted copies are what memory there is to save.
        """
        return cls._of_portions(
            (
                _weighed(
                    images.select(rows),
                    rotations[rows],
                    shifts[rows],
                    None if weight is None else weight[rows],
                )
                for images, rotations, shifts, weight in batches
                for rows in _portions(len(images), images.device)
            ),
            disk,
            margin,
            operators,
        )

    def __add__(self, other: SliceSums) -> SliceSums:
        return SliceSums(self.numerator + other.numerator, self.denominator + other.denominator)

    def scaled(self, factor: float) -> SliceSums:
        """As of so many times the images."""
        return SliceSums(self.numerator * factor, self.denominator * factor)

    def blended(self, newer: SliceSums, rate: float, scale: float) -> SliceSums:
        """Running solution: forget `rate` of the old, take `rate * scale` of the newer."""
        return SliceSums(
            torch.lerp(self.numerator, newer.numerator * scale, rate),
            torch.lerp(self.denominator, newer.denominator * scale, rate),
        )


def _portions(count: int, device: torch.device) -> Iterator[slice]:
    size = _PORTION if device.type == "cpu" else _PORTION_ON_A_CARD
    return (slice(first, min(first + size, count)) for first in range(0, count, size))


def _weighed(
    images: ImageBatch,
    rotations: Float[Tensor, "n 3 3"],
    shifts_pixel: Float[Tensor, "n 2"],
    weight: Float[Tensor, " n"] | None,
) -> Portion:
    """What images at their poses add to the sums."""
    values = torch.empty_like(images.coefficients, memory_format=torch.contiguous_format)
    weights = torch.empty_like(images.ctf, memory_format=torch.contiguous_format)

    def weigh(rows: slice) -> None:
        own = images.ctf[rows]
        weighted = own if weight is None else weight[rows, None] * own
        values[rows] = moved(images.coefficients[rows] * weighted, -shifts_pixel[rows], images.disk)
        weights[rows] = weighted * own

    for _ in in_blocks_on(images.device, weigh, len(images), _BLOCK):
        pass
    return values, weights, rotations
