"""From images on disk to whitened Fourier coefficients in memory.

Each image: background to mean 0 and deviation 1, soft circular mask, one transform that undoes
beam tilt and distortion where the optics have any (particles.lens), division by the noise
amplitude of its optics group. After that the likelihood is a plain sum of squares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor

from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.image_batch import ImageBatch
from cryospin.io.mrc import read_images
from cryospin.names import chosen
from cryospin.parallel import CPU, in_blocks_on, in_image_blocks
from cryospin.particles.background import (
    background_spectra,
    normalise_background,
    radius_grid,
    soft_circle,
)
from cryospin.particles.lens import Lenses
from cryospin.particles.source import ParticleSource
from cryospin.types import ParticleStack

_MASK_EDGE_PIXEL = 4.0
_BLOCK = 100
_LARGER_ON_A_CARD = 10

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class PreparedParticles(ParticleSource):
    """Whitened coefficients of n images on one disk, in memory.

    The two large tensors are left alone: where images come from is known in this room only.

    coefficients: x / sigma.
    ctf: C / sigma, so that `coefficients = ctf * shift * projection + noise`.
    noise_power: sigma^2 of each optics group and shell.
    """

    disk: FourierDisk
    pixel_size_angstrom: float
    uids: Sequence[str]
    coefficients: Complex[Tensor, "n k"]
    ctf: Float[Tensor, "n k"]
    optics_group: Int[Tensor, " n"]
    noise_power: Float[Tensor, "g s"]
    noise_level: float = 1.0

    @property
    def device(self) -> torch.device:
        return self.coefficients.device

    def portion(self, radius: float) -> int:
        return max(1, len(self))

    def batch(self, rows: Int[Tensor, " b"] | slice, radius: float | None = None) -> ImageBatch:
        """Some images within `radius`: copies, or of a slice of rows views."""
        disk = self.disk if radius is None else self.disk.prefix(radius)
        length = len(disk)
        return ImageBatch(self.coefficients[rows, :length], self.ctf[rows, :length], disk)

    def to(self, device: torch.device) -> PreparedParticles:
        tensors = ("coefficients", "ctf", "optics_group", "noise_power")
        return replace(self, **{name: getattr(self, name).to(device) for name in tensors})

    def within(self, radius: float) -> PreparedParticles:
        disk = self.disk.prefix(radius)
        return replace(
            self,
            disk=disk,
            coefficients=self.coefficients[:, : len(disk)].contiguous(),
            ctf=self.ctf[:, : len(disk)].contiguous(),
        )

    def select(self, index: np.ndarray) -> PreparedParticles:
        rows = self.rows(index)
        return replace(
            self,
            uids=chosen(self.uids, index),
            coefficients=self.coefficients[rows],
            ctf=self.ctf[rows],
            optics_group=self.optics_group[rows],
        )

    def rewhitened(self, noise_power: Float[Tensor, "g s"]) -> PreparedParticles:
        """Works in place on the big tensors, so that what was asked is of no further use, nor are
        others that share its tensors. A copy would stay beside the old one for as long as a
        caller holds that: twice the memory. A factor applied in `batch` would make copies of what
        are views, at 6 % of the time that refinement takes."""
        shell = self.disk.shells(self.device)
        ratio = (self.noise_power / noise_power).sqrt()[:, shell]

        def scale(rows: slice) -> None:
            factor = ratio[self.optics_group[rows]]
            self.coefficients[rows].mul_(factor)
            self.ctf[rows].mul_(factor)

        for _ in in_blocks_on(self.device, scale, len(self), _BLOCK):
            pass
        return replace(self, noise_power=noise_power)


@dataclass(frozen=True)
class Preparation:
    """How the images of a stack become whitened coefficients.

    mask: soft circle, 1 everywhere where images stay as they are. background: of pixels. sigma:
    of each optics group and coefficient.
    """

    stack: ParticleStack
    disk: FourierDisk
    lenses: Lenses
    mask: Float[Tensor, "d d"] | None
    background: Bool[Tensor, "d d"]
    noise_power: Float[Tensor, "g s"]
    sigma: Float[Tensor, "g k"]
    optics_group: Int[Tensor, " n"]

    @classmethod
    def of(
        cls,
        stack: ParticleStack,
        *,
        max_resolution_angstrom: float | None = None,
        mask_diameter_angstrom: float | None = None,
        seed: int = 0,
        masked: bool = True,
        noise_power: Float[Tensor, "g s"] | None = None,
        device: torch.device = CPU,
    ) -> Preparation:
        """The disk reaches `max_resolution_angstrom` (default: Nyquist); keeping fewer
        coefficients is the Fourier crop. What lies outside the mask (default: as wide as the box)
        is background. Poses are found on masked images, maps are made from unmasked ones
        (`masked=False`), whose CTF-spread signal is whole. `noise_power` is measured where it is
        not given.
        """
        box, pixel_size = stack.box, stack.pixel_size_angstrom
        radius = None
        if max_resolution_angstrom is not None:
            radius = box * pixel_size / max_resolution_angstrom
        disk = FourierDisk.of(box, radius)
        mask_radius = 0.5 * box - _MASK_EDGE_PIXEL
        if mask_diameter_angstrom is not None:
            mask_radius = min(0.5 * mask_diameter_angstrom / pixel_size, mask_radius)
        mask = soft_circle(box, mask_radius, _MASK_EDGE_PIXEL)
        background = radius_grid(box) > mask_radius
        if noise_power is None:
            noise_power = background_spectra(stack, background, disk, seed)
        noise_power = noise_power.to(device)
        return cls(
            stack,
            disk,
            Lenses.of(stack, disk),
            mask.to(device) if masked else None,
            background.to(device),
            noise_power,
            noise_power.sqrt()[:, disk.shells(device)],
            torch.as_tensor(stack.optics_group).to(device),
        )

    @property
    def device(self) -> torch.device:
        return self.background.device

    @property
    def noise_level(self) -> float:
        """E|noise|^2 of a coefficient (`ParticleSource`)."""
        return 1.0 if self.mask is None else float(self.mask.square().mean())

    def images(self, rows: slice) -> ImageBatch:
        """Some images, read and made ready."""
        index = np.arange(rows.start, rows.stop)
        images = normalise_background(
            read_images(self.stack, index).to(self.device), self.background
        )
        if self.mask is not None:
            images = images * self.mask
        sigma = self.sigma[self.optics_group[rows]]
        return ImageBatch(
            self.lenses.coefficients(images, index) / sigma,
            self.lenses.transfer(index, self.device) / sigma,
            self.disk,
        )

    def in_blocks(
        self, work: Callable[[slice, ImageBatch], _Result], batch_size: int = 500
    ) -> Iterator[_Result]:
        """`work` on all images, a block at a time, on several threads; results in order.

        About `batch_size` images are in work at once, and no more than 64 MB of them; it changes
        nothing else.
        """

        def on(rows: slice) -> _Result:
            return work(rows, self.images(rows))

        larger = 1 if self.device.type == "cpu" else _LARGER_ON_A_CARD
        yield from in_image_blocks(on, len(self.stack), self.disk.box, _BLOCK, batch_size, larger)

    def in_memory(
        self,
        batch_size: int = 500,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> PreparedParticles:
        """All of them."""
        count, length = len(self.stack), len(self.disk)
        coefficients = torch.empty(count, length, dtype=torch.complex64, device=self.device)
        ctf = torch.empty(count, length, device=self.device)

        def keep(rows: slice, images: ImageBatch) -> int:
            """Blocks write to places of their own; returns how many images."""
            coefficients[rows], ctf[rows] = images.coefficients, images.ctf
            return len(images)

        done = 0
        for written in self.in_blocks(keep, batch_size):
            done += written
            progress(done, count)
        return PreparedParticles(
            self.disk,
            self.stack.pixel_size_angstrom,
            self.stack.uids,
            coefficients,
            ctf,
            self.optics_group,
            self.noise_power,
            self.noise_level,
        )


def prepare_particles(
    stack: ParticleStack,
    *,
    max_resolution_angstrom: float | None = None,
    mask_diameter_angstrom: float | None = None,
    seed: int = 0,
    batch_size: int = 500,
    masked: bool = True,
    device: torch.device = CPU,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PreparedParticles:
    """Read, normalise, mask, transform and whiten a stack, on a device, into memory; as
    `Preparation`."""
    return Preparation.of(
        stack,
        max_resolution_angstrom=max_resolution_angstrom,
        mask_diameter_angstrom=mask_diameter_angstrom,
        seed=seed,
        masked=masked,
        device=device,
    ).in_memory(batch_size, progress)
