"""A made-up object whose density, projections and Fourier transform are all known exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import roma
import torch
from torch import Tensor

from cryospin.fourier.disk import FourierDisk, shift_phases
from cryospin.particles.prepare import PreparedParticles
from cryospin.particles.source import ParticleSource
from cryospin.poses import Assignment
from cryospin.refine.halves import HalfSet
from cryospin.volumes.hartley import HartleyVolume, fourier_to_hartley


def in_memory(particles: ParticleSource) -> PreparedParticles:
    """Images that a test may look at and change."""
    assert isinstance(particles, PreparedParticles)
    return particles


@dataclass(frozen=True)
class Blobs:
    """Isotropic Gaussians: positions (j, 3) in pixels from the box centre, each summing to
    its weight. With sigma >= 2 pixels, what sampling them folds back is below 1e-8."""

    positions: Tensor
    weights: Tensor
    sigmas: Tensor

    @classmethod
    def random(cls, seed: int, *, count: int = 12, spread: float = 3.0, sigma: float = 2.0):
        rng = np.random.default_rng(seed)
        positions = torch.as_tensor(rng.normal(size=(count, 3)) * spread)
        return cls(
            positions,
            torch.as_tensor(rng.uniform(0.5, 1.5, count)),
            torch.as_tensor(rng.uniform(1.0, 1.3, count) * sigma),
        )

    def transform(self, frequencies: Tensor, box: int) -> Tensor:
        """At frequencies (*k, 3) in Fourier pixels, divided by `box` as image coefficients are."""
        squared = frequencies.square().sum(-1, keepdim=True)
        envelope = torch.exp(-2 * np.pi**2 * squared / box**2 * self.sigmas**2)
        phase = -2 * np.pi / box * (frequencies @ self.positions.T)
        return (torch.polar(envelope, phase) * self.weights).sum(-1) / box

    def coefficients(
        self, rotations: Tensor, disk: FourierDisk, shifts_pixel: Tensor | None = None
    ) -> Tensor:
        """Projections (n, k) in closed form: the transform on the central slices."""
        plane = torch.as_tensor(np.stack([disk.kx, disk.ky, 0 * disk.kx], -1)).double()
        slices = self.transform(plane @ rotations.double(), disk.box)
        return slices if shifts_pixel is None else slices * shift_phases(shifts_pixel, disk)

    def volume(self, margin: int, box: int, oversampling: int = 2) -> Tensor:
        """The transform itself at the grid points of a Fourier volume (no gridding correction)."""
        axis = torch.arange(-margin, margin + 1, dtype=torch.float64) / oversampling
        z, y, x = torch.meshgrid(axis, axis, axis[margin:], indexing="ij")
        return self.transform(torch.stack([x, y, z], -1), box)

    def density(self, grid: int, box: int | None = None) -> Tensor:
        """On `grid` voxels across the field of view of a `box`, values per box pixel."""
        step = 1.0 if box is None else box / grid
        axis = (torch.arange(grid, dtype=torch.float64) - grid // 2) * step
        total = torch.zeros(grid, grid, grid, dtype=torch.float64)
        for (x, y, z), weight, sigma in zip(
            self.positions.tolist(), self.weights.tolist(), self.sigmas.tolist(), strict=True
        ):
            gz, gy, gx = (
                torch.exp(-((axis - at) ** 2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
                for at in (z, y, x)
            )
            total += weight * gz[:, None, None] * gy[None, :, None] * gx
        return total


def random_turns(count: int, seed: int, degrees: float | None = None) -> Tensor:
    """Rotations (n, 3, 3) float64: of `degrees` about random axes, or uniform on SO(3)."""
    rng = np.random.default_rng(seed)
    if degrees is None:
        quaternions = torch.as_tensor(rng.normal(size=(count, 4)))
        return roma.unitquat_to_rotmat(torch.nn.functional.normalize(quaternions, dim=-1))
    axes = torch.nn.functional.normalize(torch.as_tensor(rng.normal(size=(count, 3))), dim=-1)
    return roma.rotvec_to_rotmat(axes * np.radians(degrees))


def angles_degrees(first: Tensor, second: Tensor) -> Tensor:
    """Geodesic angle of each pair. In float64 of sines: a cosine loses angles below 0.02."""
    relative = first.double() @ second.double().mT
    return torch.rad2deg(roma.rotmat_geodesic_distance(relative, torch.eye(3).double()))


def disk_coefficients(count: int, disk: FourierDisk, seed: int) -> Tensor:
    """Unit-variance complex noise (n, k), real at the origin, as of white-noise images."""
    rng = np.random.default_rng(seed)
    real, imag = rng.normal(size=(2, count, len(disk))) * 0.5**0.5
    values = torch.complex(torch.as_tensor(real), torch.as_tensor(imag))
    values[:, 0] = values[:, 0].real * 2**0.5
    return values


@dataclass(frozen=True)
class PlantedParticles:
    """Whitened particles of `Blobs` and the poses they were made at."""

    particles: PreparedParticles
    rotations: Tensor
    shifts_pixel: Tensor

    @classmethod
    def of(
        cls,
        blobs: Blobs,
        disk: FourierDisk,
        count: int,
        seed: int,
        *,
        signal: float,
        groups: int = 1,
        largest_shift: float = 1.0,
    ) -> PlantedParticles:
        """Noise of unit variance; `signal` is the scale of the transfer function."""
        rng = np.random.default_rng(seed)
        rotations = random_turns(count, seed)
        shifts = torch.as_tensor(rng.uniform(-largest_shift, largest_shift, (count, 2)))
        # one sign change in the disk, at a place of the particle's own
        slope = torch.as_tensor(rng.uniform(1.0, 2.0, (count, 1)))
        ctf = signal * torch.cos(slope * torch.as_tensor(disk.magnitude) / disk.radius * 1.5)
        images = ctf * blobs.coefficients(rotations, disk, shifts)
        images = images + disk_coefficients(count, disk, seed)
        particles = PreparedParticles(
            disk=disk,
            pixel_size_angstrom=3.0,
            uids=tuple(f"{i}@planted.{seed}" for i in range(count)),
            coefficients=images.to(torch.complex64),
            ctf=ctf.float(),
            optics_group=torch.arange(count) % groups,
            noise_power=torch.ones(groups, int(disk.shell.max()) + 1),
        )
        return cls(particles, rotations, shifts)

    def half_set(self, off_degrees: float = 0.0, off_pixel: float = 0.0) -> HalfSet:
        """At poses that far from the true ones."""
        count = len(self.rotations)
        turns = random_turns(count, 77, degrees=off_degrees)
        moves = np.random.default_rng(78).normal(size=(count, 2))
        moves *= off_pixel / np.linalg.norm(moves, axis=1, keepdims=True)
        return HalfSet(
            self.particles,
            Assignment.known(
                (turns @ self.rotations).float(),
                (self.shifts_pixel + torch.as_tensor(moves)).float(),
            ),
        )


def misplaced(half: HalfSet, share: float, seed: int) -> HalfSet:
    """The half-set with the first share of its particles at random poses."""
    wrong = int(share * len(half.rotations))
    rotations = half.rotations.clone()
    rotations[:wrong] = random_turns(wrong, seed).float()
    return half.with_poses(rotations=rotations)


def learned_volume(volume: Tensor) -> HartleyVolume:
    """The learned volume that is exactly a given Fourier volume."""
    hartley = fourier_to_hartley(volume)
    size = hartley.abs()
    exponent = size.clamp_min(1e-6 * size.max()).log()
    return HartleyVolume(hartley / exponent.exp(), exponent)
