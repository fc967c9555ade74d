"""One half-set's side of the alternation: its particles, its poses, its map.

Nothing here sees the other half. What crosses between the halves, and where, is told in
docs/conventions.md, "What crosses between the half-sets".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.fourier.disk import moved
from cryospin.fourier.image_batch import ImageBatch
from cryospin.journal.ranks import count, each
from cryospin.kernels import margin_for, pose_losses, slice_volume
from cryospin.parallel import in_blocks_on
from cryospin.particles.source import ParticleSource
from cryospin.poses import Assignment
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.types import Poses
from cryospin.volumes.alignment import MapAlignment, poses_after_alignment
from cryospin.volumes.gridded import SliceSums, map_to_volume

_CHUNK = 1000  # images whose predictions are in memory at once
_BLOCK = 50  # and those one thread compares at once

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class HalfSet:
    """Particles of one half with their current poses."""

    particles: ParticleSource
    poses: Assignment

    @property
    def rotations(self) -> Float[Tensor, "n 3 3"]:
        return self.poses.rotations

    @property
    def shifts_pixel(self) -> Float[Tensor, "n 2"]:
        return self.poses.shifts_pixel

    @property
    def confidence(self) -> Float[Tensor, " n"]:
        return self.poses.confidence

    def select(self, rows: Int[Tensor, " m"]) -> HalfSet:
        """Some of the particles."""
        return HalfSet(self.particles.select(rows.cpu().numpy()), self.poses.select(rows))

    def with_poses(self, **tensors: Tensor) -> HalfSet:
        """With some tensors of its poses replaced, by name."""
        return replace(self, poses=replace(self.poses, **tensors))


def after_alignment(half: HalfSet, alignment: MapAlignment) -> HalfSet:
    """The half at poses that give its map moved."""
    device, pixel = half.particles.device, half.particles.pixel_size_angstrom
    shifts = half.shifts_pixel.cpu() * pixel
    poses = Poses(half.rotations.cpu(), shifts, half.confidence.cpu())
    poses = poses_after_alignment(poses, alignment)
    return half.with_poses(
        rotations=poses.rotations.float().to(device),
        shifts_pixel=(poses.shifts_angstrom / pixel).float().to(device),
    )


def sums_of(half: HalfSet, radius: float, operators: Float[Tensor, "s 3 3"]) -> SliceSums:
    """M-step: every particle inserted at its pose, out to `radius`, weighted by its confidence."""
    particles = half.particles
    batches = particles.batches(particles.portion(radius), radius)
    return sums_of_batches(half, batches, radius, operators)


def sums_of_batches(
    half: HalfSet,
    batches: Iterable[tuple[Int[Tensor, " b"] | slice, ImageBatch]],
    radius: float,
    operators: Float[Tensor, "s 3 3"],
) -> SliceSums:
    """The same of images that come from elsewhere, with the rows whose poses they have."""
    disk = half.particles.disk.prefix(radius)
    at_their_poses = (
        (images, half.rotations[rows], half.shifts_pixel[rows], half.confidence[rows])
        for rows, images in batches
    )
    return SliceSums.of_batches(at_their_poses, disk, margin_for(disk.radius), operators)


def refine_half(
    half: HalfSet,
    density: Float[Tensor, "g g g"],
    radius: float,
    method: GaussNewton,
) -> HalfSet:
    """One Gauss-Newton round of every particle against its own half's map; each is as sure of its
    pose as before."""
    volume = map_to_volume(density, half.particles.disk.box, radius)

    def refined(
        images: ImageBatch, rotations: Float[Tensor, "b 3 3"], shifts: Float[Tensor, "b 2"]
    ) -> Assignment:
        return method.refine(volume, images, rotations, shifts)

    found = Assignment.joined(_in_portions(half, radius, refined))
    return replace(half, poses=replace(found, confidence=half.confidence))


def losses_of(
    half: HalfSet, volume: Complex[Tensor, "z y x"], radius: float
) -> Float[Tensor, " n"]:
    """Of all particles at their poses, within `radius`."""

    def losses(
        images: ImageBatch, rotations: Float[Tensor, "b 3 3"], shifts: Float[Tensor, "b 2"]
    ) -> Float[Tensor, " b"]:
        return pose_losses(volume, images, rotations, shifts)

    return torch.cat(_in_portions(half, radius, losses))


def _in_portions(
    half: HalfSet, radius: float, work: Callable[[ImageBatch, Tensor, Tensor], _Result]
) -> list[_Result]:
    """Work on all images and their poses, by the ranks that have them; no particle's result
    depends on its company."""
    particles, total = half.particles, len(half.particles)

    def on(rows: slice) -> _Result:
        images = particles.batch(rows, radius)
        return work(images, half.rotations[rows], half.shifts_pixel[rows])

    size = min(particles.portion(radius), max(1, -(-total // count())))
    parts = [slice(first, min(first + size, total)) for first in range(0, total, size)]
    return each([partial(on, rows) for rows in parts])


def residual_noise(
    half: HalfSet, density: Float[Tensor, "g g g"], radius: float
) -> Float[Tensor, "o s"]:
    """Factor by which the noise power of each optics group and shell was underestimated.

    Mean |x - C s P|^2 of the whitened images over what the noise's should be; beyond `radius`
    nothing is predicted and the images are all noise.
    """
    particles = half.particles
    inner = particles.disk.prefix(radius)
    volume: Complex[Tensor, "z y x"] = map_to_volume(density, inner.box, inner.radius)
    groups, shells = particles.noise_power.shape
    device = particles.device
    shell = particles.disk.shells(device)
    total = torch.zeros(groups, len(shell), dtype=torch.float64, device=device)
    for first in range(0, len(particles), _CHUNK):
        slices = slice_volume(volume, half.rotations[first : first + _CHUNK], inner)

        def power(part: slice, first: int = first, slices: Tensor = slices) -> Tensor:
            rows = slice(first + part.start, first + part.stop)
            images = particles.batch(rows)
            residual = images.coefficients.clone()
            predicted = moved(slices[part], half.shifts_pixel[rows], inner)
            residual[:, : len(inner)] -= images.ctf[:, : len(inner)] * predicted
            member = torch.nn.functional.one_hot(particles.optics_group[rows], groups)
            return member.T.double() @ residual.abs().square().double()

        for part in in_blocks_on(device, power, len(slices), _BLOCK):
            total += part
    total = total.new_zeros(groups, shells).index_add_(1, shell, total)
    population = particles.disk.population(device)
    counts = torch.zeros(groups, dtype=torch.long, device=device)
    counts.index_add_(0, particles.optics_group, torch.ones_like(particles.optics_group))
    return total / (counts[:, None] * population).clamp_min(1) / particles.noise_level


def rewhitened(half: HalfSet, factor: Float[Tensor, "o s"]) -> HalfSet:
    """The half-set under a noise spectrum corrected by `factor`."""
    noise = half.particles.noise_power * factor.to(half.particles.noise_power.dtype)
    return replace(half, particles=half.particles.rewhitened(noise))
