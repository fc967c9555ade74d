"""The layout everything shares: half-plane Fourier coefficients sorted by frequency.

A low-pass filter, a frequency-marching radius or a smaller box is a prefix of the
vector. What is stored on the layout (images, CTFs, projections) lives elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class FourierDisk:
    """Frequencies (kx, ky) of a d x d box inside `radius`, in order of |k|.

    One of each Friedel pair k, -k is kept: kx > 0, or kx = 0 and ky >= 0. `shell` is |k|
    rounded to the nearest integer. Units are Fourier pixels of the box, so the spatial
    frequency is |k| / (box * pixel_size_angstrom).
    """

    box: int
    radius: float
    kx: np.ndarray
    ky: np.ndarray
    _made: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, box: int, radius: float | None = None) -> FourierDisk:
        """The disk of a box; the Nyquist row is left out, so `radius` is at most d/2 - 1."""
        if box % 2 or box < 4:
            raise ValueError(f"box must be even and at least 4, got {box}")
        limit = box // 2 - 1
        radius = limit if radius is None else min(radius, limit)
        ky, kx = np.mgrid[-limit : limit + 1, 0 : limit + 1]
        keep = (kx**2 + ky**2 <= radius**2) & ((kx > 0) | (ky >= 0))
        kx, ky = kx[keep], ky[keep]
        # ties are broken by (kx, ky) so that the order is the same on every machine
        order = np.lexsort((ky, kx, kx**2 + ky**2))
        return cls(box, float(radius), kx[order].astype(np.int32), ky[order].astype(np.int32))

    def __len__(self) -> int:
        return len(self.kx)

    @cached_property
    def magnitude(self) -> np.ndarray:
        """|k| in Fourier pixels, (k,) float64, ascending."""
        return np.sqrt(self.kx.astype(np.float64) ** 2 + self.ky.astype(np.float64) ** 2)

    @cached_property
    def shell(self) -> np.ndarray:
        return np.rint(self.magnitude).astype(np.int32)

    @cached_property
    def places(self) -> np.ndarray:
        """Of each coefficient in the flattened half spectrum (d, d/2 + 1) of `rfft2`."""
        return (self.ky % self.box).astype(np.int64) * (self.box // 2 + 1) + self.kx

    @cached_property
    def centring(self) -> np.ndarray:
        """(-1)^(kx + ky): what moving the origin by half a box does."""
        return (1 - 2 * ((self.kx + self.ky) % 2)).astype(np.float32)

    def length_within(self, radius: float) -> int:
        """How many leading coefficients lie within `radius`."""
        return int(np.searchsorted(self.magnitude, radius + 1e-9, side="right"))

    def prefix(self, radius: float) -> FourierDisk:
        """The disk of a smaller radius: its vectors are prefixes of this one's."""
        radius = min(float(radius), self.radius)
        if radius == self.radius:
            return self

        def make() -> FourierDisk:
            length = self.length_within(radius)
            return FourierDisk(self.box, radius, self.kx[:length], self.ky[:length])

        made: FourierDisk = self.once(radius, make)
        return made

    def frequencies(
        self, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "2 k"]:
        """kx and ky on a device: made once, not to be written to."""
        return self.tensor("frequencies", np.stack([self.kx, self.ky]), device, dtype)

    def shells(self, device: torch.device) -> Int[Tensor, " k"]:
        """`shell` on a device: made once, not to be written to."""
        return self.tensor("shells", self.shell, device, torch.long)

    def population(self, device: torch.device) -> Int[Tensor, " s"]:
        """How many coefficients each shell has, on a device: not to be written to."""
        return self.tensor("population", np.bincount(self.shell), device, torch.long)

    def tensor(
        self, name: str, values: np.ndarray, device: torch.device, dtype: torch.dtype
    ) -> Tensor:
        """An array of the disk's on a device: copied once, not to be written to."""

        def make() -> Tensor:
            return torch.as_tensor(values).to(device, dtype)

        made: Tensor = self.once((name, device, dtype), make)
        return made

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` returns, made when it is first asked for: tables that belong to a disk."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def images_to_coefficients(
    images: Float[Tensor, "*batch d d"], disk: FourierDisk
) -> Complex[Tensor, "*batch k"]:
    """Centred 2D transform on the disk, divided by d so that white noise keeps its variance.

    The phase origin is the box centre, pixel d // 2.
    """
    if images.shape[-1] != disk.box:
        raise ValueError(f"images of {images.shape[-1]} pixels on the disk of a box of {disk.box}")
    spectrum = torch.fft.rfft2(images, norm="ortho").flatten(-2)
    places = disk.tensor("places", disk.places, images.device, torch.long)
    sign = disk.tensor("centring", disk.centring, images.device, images.dtype)
    return spectrum[..., places] * sign


def coefficients_to_images(
    coefficients: Complex[Tensor, "*batch k"], disk: FourierDisk, box: int | None = None
) -> Float[Tensor, "*batch d d"]:
    """Inverse of `images_to_coefficients` for band-limited images (others lose the rest).

    A `box` other than the disk's resamples: pixel values keep their meaning (density per
    pixel of the original size is scaled so that the image looks the same).
    """
    size = disk.box if box is None else box
    spectrum = coefficients.new_zeros((*coefficients.shape[:-1], size, size // 2 + 1))
    device, on_axis = coefficients.device, np.flatnonzero(disk.kx == 0)

    def index(name: str, values: np.ndarray) -> Tensor:
        return disk.tensor(f"{name} in {size}", values, device, torch.long)

    sign = disk.tensor("centring", disk.centring, device, coefficients.dtype)
    values = coefficients * sign * (size / disk.box)
    spectrum[..., index("rows", disk.ky % size), index("columns", disk.kx)] = values
    mates = values[..., index("on axis", on_axis)].conj()
    spectrum[..., index("mates", -disk.ky[on_axis] % size), 0] = mates
    return torch.fft.irfft2(spectrum, s=(size, size), norm="ortho")


def moved(
    coefficients: Complex[Tensor, "*#batch k"],
    shifts_pixel: Float[Tensor, "*#batch 2"],
    disk: FourierDisk,
) -> Complex[Tensor, "... k"]:
    """The coefficients of particles moved by +t.

    torch's product of complex numbers rounds the ends of each thread's share otherwise than
    its middle, so the product is spelled out in reals.
    """
    phases = shift_phases(shifts_pixel, disk)
    a, b, c, d = coefficients.real, coefficients.imag, phases.real, phases.imag
    return torch.complex(a * c - b * d, a * d + b * c)


def shift_phases(
    shifts_pixel: Float[Tensor, "*batch 2"], disk: FourierDisk
) -> Complex[Tensor, "*batch k"]:
    """exp(-2 pi i k.t / d): multiply a projection's coefficients by it to move it by +t."""
    frequencies = disk.frequencies(shifts_pixel.device, shifts_pixel.dtype)
    angle = shifts_pixel @ frequencies * (-2.0 * np.pi / disk.box)
    return torch.polar(torch.ones_like(angle), angle)
