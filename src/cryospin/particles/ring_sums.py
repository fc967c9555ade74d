"""Sums over rings of a sample's transforms, by defocus: what the claimed CTF is held against.

Particles are put into groups of like defocus. Of each group the mean power of every ring of
frequencies (Thon rings live there) and the mean of the real part (what the average over all
views leaves of the particle) are kept, and of each image a coarse radial profile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.ctf import contrast_transfer, electron_wavelength_angstrom
from cryospin.fourier.disk import FourierDisk, coefficients_to_images, images_to_coefficients
from cryospin.particles.draws import particle_keys
from cryospin.particles.prepare import soft_circle
from cryospin.particles.rings import Rings
from cryospin.types import ParticleStack

_SAMPLE = 5_000
_SAMPLE_BYTES = 2**30
_LARGEST_GROUPS, _LEAST_MEMBERS = 24, 100
_MASK_EDGE_PIXEL = 4.0
_PROFILE_RESOLUTION_ANGSTROM = 30.0
_LEAST_PROFILE_SHELLS = 4


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
    """Which particles are sampled, and the tables their sums are made with."""

    is_sampled: np.ndarray
    group: np.ndarray
    groups: int
    disk: FourierDisk
    inner: FourierDisk
    inner_box: int
    mask: Float[Tensor, "d d"]
    shells: Rings

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
        disk = FourierDisk.of(box)
        shells = box * stack.pixel_size_angstrom / _PROFILE_RESOLUTION_ANGSTROM
        inner = disk.prefix(float(np.clip(shells, _LEAST_PROFILE_SHELLS, box // 2 - 1)))
        return cls(
            group >= 0,
            group,
            groups,
            disk,
            inner,
            min(box, 2 * int(np.ceil(inner.radius)) + 4),
            soft_circle(box, 0.5 * box - _MASK_EDGE_PIXEL, _MASK_EDGE_PIXEL),
            Rings.of_labels(disk.shell),
        )

    def empty(self) -> RingAccumulator:
        return RingAccumulator(self)

    def sums_of(
        self,
        stack: ParticleStack,
        index: np.ndarray,
        images: Float[Tensor, "b d d"],
        mean: Float[Tensor, " b"],
        scale: Float[Tensor, " b"],
    ) -> BlockRings:
        """Of finite images that are not constant, normalised to (image - mean) / scale."""
        normal = torch.addcmul(-mean / scale, images.movedim(0, -1), 1.0 / scale).movedim(-1, 0)
        coefficients = images_to_coefficients(normal * self.mask, self.disk)
        parameters = stack.ctf.select(torch.as_tensor(index))
        transfer = contrast_transfer(parameters, self.inner, stack.pixel_size_angstrom)
        signs = transfer.sign().float()
        signs[torch.from_numpy(stack.phase_flipped[index])] = 1.0
        flipped = coefficients[:, : len(self.inner)] * signs
        flipped[:, 0] = 0.0
        group = torch.as_tensor(self.group[index])
        member = torch.nn.functional.one_hot(group, self.groups).double().T
        real, imaginary = coefficients.real, coefficients.imag
        power = torch.addcmul(real.square(), imaginary, imaginary)
        return BlockRings(
            member.sum(1),
            member @ self.shells.sums(power).double(),
            member @ self.shells.sums(real).double(),
            Rings.of_pixels(self.inner_box).means(
                coefficients_to_images(flipped, self.inner, self.inner_box).flatten(1)
            ),
            Rings.of_pixels(self.disk.box).means(normal.square().sum(dim=0).view(1, -1))[0],
        )


class RingAccumulator:
    """The sums as blocks come in; blocks come in a fixed order."""

    def __init__(self, sampler: RingSampler):
        self._sampler = sampler
        size = (sampler.groups, len(sampler.shells.population))
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
        population = sampler.shells.population
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
