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
from cryospin.particles.prepare import radius_grid, soft_circle
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
    """One block's share of the sums, by group."""

    count: Float[Tensor, " g"]
    power: Float[Tensor, "g k"]
    mean_field: Float[Tensor, "g k"]
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
    shell: Tensor
    population: Float[Tensor, " s"]

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
        shell = torch.as_tensor(disk.shell, dtype=torch.long)
        return cls(
            group >= 0,
            group,
            groups,
            disk,
            inner,
            min(box, 2 * int(np.ceil(inner.radius)) + 4),
            soft_circle(box, 0.5 * box - _MASK_EDGE_PIXEL, _MASK_EDGE_PIXEL),
            shell,
            torch.bincount(shell).double(),
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
        flipped = coefficients[:, : len(self.inner)] * transfer.sign().float()
        flipped[:, 0] = 0.0
        group = torch.as_tensor(self.group[index])
        member = torch.nn.functional.one_hot(group, self.groups).float().T
        real, imaginary = coefficients.real, coefficients.imag
        return BlockRings(
            member.sum(1).double(),
            member @ torch.addcmul(real.square(), imaginary, imaginary),
            member @ real,
            _ring_means(coefficients_to_images(flipped, self.inner, self.inner_box)),
            _ring_means(normal.square().sum(dim=0, keepdim=True))[0].double(),
        )


class RingAccumulator:
    """The sums as blocks come in; blocks come in a fixed order."""

    def __init__(self, sampler: RingSampler):
        self._sampler = sampler
        size = (sampler.groups, len(sampler.disk))
        self._power = torch.zeros(size, dtype=torch.float64)
        self._field = torch.zeros(size, dtype=torch.float64)
        self._count = torch.zeros(sampler.groups, dtype=torch.float64)
        self._profiles: list[Tensor] = []
        self._variance: Tensor | float = 0.0

    def add(self, block: BlockRings) -> None:
        self._power += block.power
        self._field += block.mean_field
        self._count += block.count
        self._profiles.append(block.profiles)
        self._variance = self._variance + block.variance

    def finished(self) -> RingSums:
        sampler = self._sampler
        per_group = self._count.clamp_min(1.0)[:, None]
        box = sampler.disk.box
        total = self._count.sum().clamp_min(1.0)
        none = torch.zeros(box // 2, dtype=torch.float64)
        return RingSums(
            sampler.group,
            self._count,
            sampler.population,
            self._per_shell(self._power) / per_group,
            self._per_shell(self._field) / per_group,
            torch.cat(self._profiles or [torch.zeros(0, sampler.inner_box // 2)]),
            box / sampler.inner_box,
            none if isinstance(self._variance, float) else self._variance / total,
        )

    def _per_shell(self, values: Float[Tensor, "g k"]) -> Float[Tensor, "g s"]:
        population = self._sampler.population
        sums = values.new_zeros(len(values), len(population))
        return sums.index_add_(1, self._sampler.shell, values) / population


def _ring_scale(stack: ParticleStack) -> np.ndarray:
    """Mean defocus times wavelength: what spaces the Thon rings."""
    ctf = stack.ctf
    mean = 0.5 * (ctf.defocus_u_angstrom + ctf.defocus_v_angstrom)
    return (mean * electron_wavelength_angstrom(ctf.voltage_kv)).numpy()


def _ring_means(images: Float[Tensor, "b d d"]) -> Float[Tensor, "b r"]:
    """Means over rings one pixel wide, radius 0 to d/2 - 1."""
    box = images.shape[-1]
    ring = radius_grid(box).round().long().flatten()
    inside = ring < box // 2
    member = torch.nn.functional.one_hot(ring[inside], box // 2).float()
    return images.flatten(1)[:, inside] @ (member / member.sum(0))
