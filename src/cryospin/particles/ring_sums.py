"""Sums over rings of a sample's transforms, by defocus: what the claimed CTF is held against.

Particles are put into groups of like defocus. Of each group the mean power of every ring of
frequencies (Thon rings live there) and the mean of the real part (what the average over all
views leaves of the particle) are kept, and of each image a coarse radial profile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cryospin.ctf import contrast_transfer, electron_wavelength_angstrom
from cryospin.fourier.disk import FourierDisk, images_to_coefficients
from cryospin.parallel import in_blocks
from cryospin.particles.background import soft_circle
from cryospin.particles.draws import particle_keys
from cryospin.particles.pixel_loops import (
    add_shell_sums,
    half_plane_shells,
    normalised,
    pixel_rings,
)
from cryospin.types import ParticleStack

_SAMPLE = 5_000
_SAMPLE_BYTES = 2**30
_LARGEST_GROUPS, _LEAST_MEMBERS = 24, 100
_MASK_EDGE_PIXEL = 4.0
_PROFILE_RESOLUTION_ANGSTROM = 30.0
_LEAST_PROFILE_SHELLS = 4
_CTF_BLOCK = 2**17  # values of CTFs at a time


@dataclass(frozen=True)
class RingSums:
    """Over a sample of particles in g groups of like defocus.

    group: of each particle of the stack, (n,); -1 where it is not in the sample.
    count: images of each group.
    population: coefficients of each shell, from shell 0.
    power: mean |F|^2 of the images normalised to their background; white noise has 1 times
        the mask's share.
    mean_field: mean of Re F, phase origin at the box centre.
    profiles: of each sampled image, mean over rings of the image times the sign of its CTF,
        low-passed to 30 Angstrom; ring i at i * profile_step_pixel. (m, r)
    variance_profile: mean square of the normalised images on rings of one pixel.
    """

    group: np.ndarray
    count: Float[Tensor, " g"]
    population: Float[Tensor, " s"]
    power: Float[Tensor, "g s"]
    mean_field: Float[Tensor, "g s"]
    profiles: Float[Tensor, "m r"]
    profile_step_pixel: float
    variance_profile: Float[Tensor, " p"]


@dataclass(frozen=True)
class BlockRings:
    """One block's part of the sums over images and shells, by group."""

    count: Float[Tensor, " g"]
    power: Float[Tensor, "g s"]
    mean_field: Float[Tensor, "g s"]
    profiles: Float[Tensor, "b r"]
    variance: Float[Tensor, " p"]


@dataclass(frozen=True)
class RingSampler:
    """Which particles are sampled, and the tables their sums are made with.

    row: of each particle of the stack, its place in the sample; -1: none.
    signs: of each sampled particle's CTF on the inner disk, but 0 at its first coefficient.
    to_profile: from the real parts of the inner disk's coefficients to the means of their image
        on its rings.
    """

    row: np.ndarray
    group: np.ndarray
    groups: int
    disk: FourierDisk
    inner: FourierDisk
    inner_box: int
    mask: np.ndarray
    shells: np.ndarray
    signs: Int[Tensor, "m k"]
    to_profile: Float[Tensor, "k r"]

    @classmethod
    def of(cls, stack: ParticleStack, seed: int) -> RingSampler:
        """At most 5,000 images or 1 GB, chosen by name; groups of at least 100."""
        box = stack.box
        size = min(len(stack), _SAMPLE, max(_LEAST_MEMBERS, _SAMPLE_BYTES // (4 * box**2)))
        keys = particle_keys(seed, stack.uids, "audit")
        chosen = np.argsort(keys, kind="stable")[:size]
        groups = int(np.clip(size // _LEAST_MEMBERS, 1, _LARGEST_GROUPS))
        group = np.full(len(stack), -1, dtype=np.int64)
        ordered = chosen[np.argsort(_ring_scale(stack)[chosen], kind="stable")]
        for number, members in enumerate(np.array_split(ordered, groups)):
            group[members] = number
        row = np.full(len(stack), -1, dtype=np.int64)
        row[chosen] = np.arange(size)
        disk = FourierDisk.of(box)
        shells = box * stack.pixel_size_angstrom / _PROFILE_RESOLUTION_ANGSTROM
        inner = disk.prefix(float(np.clip(shells, _LEAST_PROFILE_SHELLS, box // 2 - 1)))
        inner_box = min(box, 2 * int(np.ceil(inner.radius)) + 4)
        return cls(
            row,
            group,
            groups,
            disk,
            inner,
            inner_box,
            soft_circle(box, 0.5 * box - _MASK_EDGE_PIXEL, _MASK_EDGE_PIXEL).numpy(),
            half_plane_shells(disk),
            _signs(stack, chosen, inner),
            _ring_means(inner, inner_box),
        )

    @property
    def is_sampled(self) -> np.ndarray:
        return self.row >= 0

    def empty(self) -> RingAccumulator:
        return RingAccumulator(self)

    def sums_of(
        self,
        images: np.ndarray,
        chosen: np.ndarray,
        index: np.ndarray,
        mean: np.ndarray,
        scale: np.ndarray,
    ) -> BlockRings:
        """Of the chosen ones of images (b, d, d), finite and not constant, which are the particles
        at `index` of the stack; normalised to (image - mean) / scale."""
        box, group = self.disk.box, self.group[index[chosen]]
        squares = np.zeros(box // 2 + 1)
        mean, scale = mean.astype(np.float32), scale.astype(np.float32)
        normal = normalised(images, chosen, mean, scale, self.mask, pixel_rings(box), squares)
        spectra = torch.fft.rfft2(torch.from_numpy(normal), norm="ortho")
        power, field = np.zeros((2, self.groups, int(self.shells.max()) + 1))
        add_shell_sums(spectra.numpy(), self.shells, group, power, field)
        places = torch.from_numpy(self.inner.places)
        inner = spectra.flatten(1)[:, places].real * torch.from_numpy(self.inner.centring)
        signs = self.signs[torch.from_numpy(self.row[index[chosen]])]
        return BlockRings(
            torch.from_numpy(np.bincount(group, minlength=self.groups).astype(np.float64)),
            torch.from_numpy(power[:, :-1]),
            torch.from_numpy(field[:, :-1]),
            (inner * signs) @ self.to_profile,
            torch.from_numpy(squares[:-1] / np.bincount(pixel_rings(box).reshape(-1))[:-1]),
        )


def _signs(stack: ParticleStack, chosen: np.ndarray, inner: FourierDisk) -> Int[Tensor, "m k"]:
    # once for the run: a CTF takes dozens of operations, however few particles a block has
    signs = torch.empty(len(chosen), len(inner), dtype=torch.int8)

    def fill(rows: slice) -> None:
        ctf = stack.ctf.select(torch.from_numpy(chosen[rows]))
        signs[rows] = contrast_transfer(ctf, inner, stack.pixel_size_angstrom).sign().to(torch.int8)

    for _ in in_blocks(fill, len(chosen), max(1, _CTF_BLOCK // len(inner))):
        pass
    signs[:, 0] = 0
    return signs


def _ring_means(disk: FourierDisk, box: int) -> Float[Tensor, "k r"]:
    """Means over rings of one pixel of images of `box` pixels, from their coefficients' real parts.

    A mean over a ring is the product with an image of the ring, and products are the same in
    frequencies; all coefficients but the first count twice, for their Friedel mates.
    """
    rings = torch.from_numpy(pixel_rings(box)).long()
    ring = torch.nn.functional.one_hot(rings, box // 2 + 1)[..., :-1].movedim(-1, 0).float()
    shown = ring / ring.sum(dim=(1, 2), keepdim=True)
    values = 2.0 * images_to_coefficients(shown, FourierDisk.of(box, disk.radius)).real
    values[:, 0] *= 0.5
    return values.T.contiguous() * (box / disk.box)


class RingAccumulator:
    """The sums as blocks come in; blocks come in a fixed order."""

    def __init__(self, sampler: RingSampler):
        self._sampler = sampler
        size = (sampler.groups, int(sampler.shells.max()))
        self._power = torch.zeros(size, dtype=torch.float64)
        self._field = torch.zeros(size, dtype=torch.float64)
        self._count = torch.zeros(sampler.groups, dtype=torch.float64)
        # made once, as heaps get full of holes when every block leaves something small behind
        self._profiles = torch.zeros(int(sampler.is_sampled.sum()), sampler.inner_box // 2)
        self._sampled = 0
        self._variance: Tensor | float = 0.0

    def add(self, block: BlockRings) -> None:
        self._power += block.power
        self._field += block.mean_field
        self._count += block.count
        self._profiles[self._sampled : self._sampled + len(block.profiles)] = block.profiles
        self._sampled += len(block.profiles)
        self._variance = self._variance + block.variance.double()

    def finished(self) -> RingSums:
        sampler = self._sampler
        population = torch.from_numpy(np.bincount(sampler.disk.shell)).double()
        terms = self._count.clamp_min(1.0)[:, None] * population
        box = sampler.disk.box
        total = self._count.sum().clamp_min(1.0)
        none = torch.zeros(box // 2, dtype=torch.float64)
        return RingSums(
            sampler.group,
            self._count,
            population,
            self._power / terms,
            self._field / terms,
            self._profiles[: self._sampled],
            box / sampler.inner_box,
            none if isinstance(self._variance, float) else self._variance / total,
        )


def _ring_scale(stack: ParticleStack) -> np.ndarray:
    """Mean defocus times wavelength: what spaces the Thon rings."""
    ctf = stack.ctf
    mean = 0.5 * (ctf.defocus_u_angstrom + ctf.defocus_v_angstrom)
    return (mean * electron_wavelength_angstrom(ctf.voltage_kv)).numpy()
