"""From images on disk to whitened Fourier coefficients in memory.

Each image: background to mean 0 and deviation 1, soft circular mask, one transform that undoes
beam tilt and distortion where the optics have any (particles.lens), division by the noise
amplitude of its optics group. After that noise has unit variance in every coefficient and the
likelihood is a plain sum of squares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.fourier.disk import FourierDisk, images_to_coefficients
from cryospin.fourier.image_batch import ImageBatch
from cryospin.io.mrc import read_images
from cryospin.names import chosen
from cryospin.parallel import CPU, in_blocks_on, in_image_blocks
from cryospin.particles.draws import particle_keys
from cryospin.particles.lens import Lenses
from cryospin.types import ParticleStack

_MASK_EDGE_PIXEL = 4.0
_BLOCK = 100
_LARGER_ON_A_CARD = 10
_NOISE_BATCH = 200
_NOISE_SAMPLE = 2000  # images per optics group: the spectrum is then known to a per cent


@dataclass(frozen=True)
class PreparedParticles:
    """Whitened coefficients of n images on one disk.

    Methods ask for an `ImageBatch`, with `images`, `batch` or `batches`, and leave the two large
    tensors alone: where these come from is known here only.

    coefficients: x / sigma; E|noise|^2 = 1 in each.
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

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def device(self) -> torch.device:
        return self.coefficients.device

    @property
    def field_angstrom(self) -> float:
        return self.disk.box * self.pixel_size_angstrom

    def resolution_angstrom(self, radius: float) -> float:
        return self.field_angstrom / radius

    def rows(self, index: np.ndarray) -> Int[Tensor, " b"]:
        """Numbers of particles, where the particles are; a card is not waited for."""
        return torch.as_tensor(index).to(self.device, non_blocking=True)

    def images(self, radius: float | None = None) -> ImageBatch:
        """All images within `radius` Fourier pixels (default: whole), as views of what is here."""
        return self.batch(slice(None), radius)

    def batch(self, rows: Int[Tensor, " b"] | slice, radius: float | None = None) -> ImageBatch:
        """Some images within `radius`: copies, or of a slice of rows views."""
        disk = self.disk if radius is None else self.disk.prefix(radius)
        length = len(disk)
        return ImageBatch(self.coefficients[rows, :length], self.ctf[rows, :length], disk)

    def batches(
        self, size: int, radius: float | None = None, done: int = 0
    ) -> Iterator[tuple[Int[Tensor, " b"], ImageBatch]]:
        """All images after the first `done`, so many at a time, with their rows."""
        for first in range(done, len(self), size):
            last = min(first + size, len(self))
            rows = torch.arange(first, last, device=self.device)
            yield rows, self.batch(rows, radius)

    def to(self, device: torch.device) -> PreparedParticles:
        tensors = ("coefficients", "ctf", "optics_group", "noise_power")
        return replace(self, **{name: getattr(self, name).to(device) for name in tensors})

    def within(self, radius: float) -> PreparedParticles:
        """With the coefficients within so many Fourier pixels only."""
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


def prepare_particles(
    stack: ParticleStack,
    *,
    max_resolution_angstrom: float | None = None,
    mask_diameter_angstrom: float | None = None,
    seed: int = 0,
    batch_size: int = 500,
    masked: bool = True,
    noise_power: Float[Tensor, "g s"] | None = None,
    device: torch.device = CPU,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PreparedParticles:
    """Read, normalise, mask, transform and whiten a stack, on a device.

    The disk reaches `max_resolution_angstrom` (default: Nyquist); keeping fewer coefficients
    is the Fourier crop. What lies outside the mask (default: as wide as the box) is background.
    Poses are found on masked images, maps are made from unmasked ones (`masked=False`), whose
    CTF-spread signal is whole. `noise_power` is measured where it is not given. About
    `batch_size` images are in work at once, and no more than 64 MB of them; it changes nothing
    else.
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
        noise_power = _background_spectra(stack, background, disk, seed) * mask.square().mean()
    noise_power, mask, background = (t.to(device) for t in (noise_power, mask, background))
    lenses = Lenses.of(stack, disk)
    group = torch.as_tensor(stack.optics_group).to(device)
    sigma_of_group = noise_power.sqrt()[:, disk.shells(device)]
    coefficients = torch.empty(len(stack), len(disk), dtype=torch.complex64, device=device)
    ctf = torch.empty(len(stack), len(disk), device=device)

    def on(rows: slice) -> int:
        """Blocks write to places of their own; returns how many images."""
        index = np.arange(rows.start, rows.stop)
        images = normalise_background(read_images(stack, index).to(device), background)
        if masked:
            images = images * mask
        sigma = sigma_of_group[group[rows]]
        coefficients[rows] = lenses.coefficients(images, index) / sigma
        ctf[rows] = lenses.transfer(index, device) / sigma
        return len(index)

    done, larger = 0, 1 if device.type == "cpu" else _LARGER_ON_A_CARD
    for written in in_image_blocks(on, len(stack), box, _BLOCK, batch_size, larger):
        done += written
        progress(done, len(stack))
    return PreparedParticles(disk, pixel_size, stack.uids, coefficients, ctf, group, noise_power)


def rewhiten(particles: PreparedParticles, noise_power: Float[Tensor, "g s"]) -> PreparedParticles:
    """The same images under a better noise spectrum; works in place on the big tensors.

    So the record given is of no further use, nor are others that share its tensors. A copy would
    stay beside the old one for as long as a caller holds that: twice the memory. A factor applied
    in `batch` would make copies of what are views, at 6 % of the time that refinement takes.
    """
    shell = particles.disk.shells(particles.device)
    ratio = (particles.noise_power / noise_power).sqrt()[:, shell]

    def scale(rows: slice) -> None:
        factor = ratio[particles.optics_group[rows]]
        particles.coefficients[rows].mul_(factor)
        particles.ctf[rows].mul_(factor)

    for _ in in_blocks_on(particles.device, scale, len(particles), _BLOCK):
        pass
    return replace(particles, noise_power=noise_power)


def normalise_background(
    images: Float[Tensor, "b d d"], background: Tensor
) -> Float[Tensor, "b d d"]:
    """Zero mean and unit deviation over the background pixels of each image."""
    outside = images[:, background]
    mean = outside.mean(dim=1)[:, None, None]
    deviation = outside.std(dim=1)[:, None, None]
    return (images - mean) / deviation


def soft_circle(box: int, radius: float, edge: float) -> Float[Tensor, "d d"]:
    """1 inside `radius`, raised-cosine fall over `edge` pixels, 0 outside."""
    fall = ((radius_grid(box) - radius) / edge).clamp(0, 1)
    return 0.5 + 0.5 * torch.cos(np.pi * fall)


def radius_grid(box: int) -> Float[Tensor, "d d"]:
    """Distance of each pixel from the box centre, in pixels."""
    axis = torch.arange(box, dtype=torch.float32) - box // 2
    return torch.hypot(axis[:, None], axis[None, :])


def _background_spectra(
    stack: ParticleStack, background: Tensor, disk: FourierDisk, seed: int
) -> Float[Tensor, "g s"]:
    """Noise power per optics group and shell, from the pixels outside the particle.

    The window smears the spectrum by a pixel or two, which a noise spectrum bears; its area
    is divided out. A later estimate from residuals replaces this one.
    """
    shells = int(disk.shell.max()) + 1
    shell = torch.as_tensor(disk.shell, dtype=torch.long)
    population = torch.bincount(shell, minlength=shells)
    area = background.float().mean()
    keys = particle_keys(seed, stack.uids, "noise-sample")
    spectra = []
    for group in range(len(stack.optics)):
        members = np.flatnonzero(stack.optics_group == group)
        chosen = np.sort(members[np.argsort(keys[members], kind="stable")[:_NOISE_SAMPLE]])

        def outside_power(rows: slice, chosen: np.ndarray = chosen) -> Float[Tensor, " k"]:
            images = normalise_background(read_images(stack, chosen[rows]), background)
            power = images_to_coefficients(images * background, disk).abs().square()
            return power.double().sum(dim=0)

        total = torch.zeros(len(disk), dtype=torch.float64)
        for power in in_image_blocks(outside_power, len(chosen), stack.box, _NOISE_BATCH):
            total += power
        power = torch.zeros(shells, dtype=torch.float64).index_add_(0, shell, total)
        spectrum = power / (population * max(len(chosen), 1)) / area
        # the window takes the mean out: shell 0 has no estimate of its own
        spectrum[0] = spectrum[1]
        spectra.append(spectrum)
    return torch.stack(spectra).float().clamp_min(1e-8)
