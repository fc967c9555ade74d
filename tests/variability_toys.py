"""Particles made exactly from a linear model: a mean, components and coordinates, all known."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cryospin.fourier.disk import FourierDisk, coefficients_to_images
from cryospin.io.mrc import StackWriter, write_map
from cryospin.io.relion import write_new_particles
from cryospin.optics import Optics
from cryospin.particles.prepare import PreparedParticles
from cryospin.poses import Assignment
from cryospin.refine.halves import HalfSet
from cryospin.simulate.transfer import neutral_ctf
from cryospin.types import DensityMap, Poses
from cryospin.volumes.gridded import spherical_support
from phantoms import Blobs, disk_coefficients, random_turns

BOX, RADIUS, PIXEL = 32, 9.0, 4.0


@dataclass(frozen=True)
class LinearPhantom:
    """mean: of positive weights. components: density that comes as much as it goes."""

    mean: Blobs
    components: tuple[Blobs, ...]

    @classmethod
    def of(cls, components: int, seed: int = 3) -> LinearPhantom:
        made = []
        for number in range(components):
            blobs = Blobs.random(seed + 10 + number, count=6, spread=3.5)
            signs = torch.tensor([1.0, -1.0] * 3, dtype=torch.float64)
            # later components are weaker, so that their order is known
            strength = 1.2 * 0.7**number
            made.append(replace(blobs, weights=strength * signs * blobs.weights))
        return cls(Blobs.random(seed), tuple(made))

    def densities(self, grid: int) -> Tensor:
        """(m+1, g, g, g)."""
        blobs = (self.mean, *self.components)
        return torch.stack([each.density(grid, BOX) for each in blobs]).float()

    def projections(
        self, coordinates: Tensor, rotations: Tensor, shifts: Tensor, disk: FourierDisk
    ) -> Tensor:
        """Coefficients (n, k) without noise or transfer."""
        images = self.mean.coefficients(rotations, disk, shifts)
        for along, blobs in zip(coordinates.T.double(), self.components, strict=True):
            images = images + along[:, None] * blobs.coefficients(rotations, disk, shifts)
        return images

    def half_set(self, coordinates: Tensor, seed: int, signal: float = 4.0) -> HalfSet:
        """Whitened images at coordinates (n, m) and random poses, which the half-set knows."""
        count, disk = len(coordinates), FourierDisk.of(BOX, RADIUS)
        rng = np.random.default_rng(seed)
        rotations = random_turns(count, seed)
        shifts = torch.as_tensor(rng.uniform(-1, 1, (count, 2)))
        slope = torch.as_tensor(rng.uniform(1.0, 2.0, (count, 1)))
        ctf = signal * torch.cos(slope * torch.as_tensor(disk.magnitude) / disk.radius * 1.5)
        images = self.projections(coordinates, rotations, shifts, disk)
        images = ctf * images + disk_coefficients(count, disk, seed)
        particles = PreparedParticles(
            disk=disk,
            pixel_size_angstrom=3.0,
            uids=tuple(f"{i}@linear.{seed}" for i in range(count)),
            coefficients=images.to(torch.complex64),
            ctf=ctf.float(),
            optics_group=torch.zeros(count, dtype=torch.long),
            noise_power=torch.ones(1, int(disk.shell.max()) + 1),
        )
        return HalfSet(particles, Assignment.known(rotations.float(), shifts.float()))


def write_run(folder: Path, phantom: LinearPhantom, coordinates: Tensor, signal: float) -> Path:
    """Images in `folder`/data, and a converged run that knows their poses: `folder`/run."""
    count, disk, rng = len(coordinates), FourierDisk.of(BOX), np.random.default_rng(0)
    data, out = folder / "data", folder / "run"
    data.mkdir(parents=True)
    out.mkdir()
    rotations, shifts = random_turns(count, 1), torch.as_tensor(rng.uniform(-1, 1, (count, 2)))
    images = coefficients_to_images(phantom.projections(coordinates, rotations, shifts, disk), disk)
    with StackWriter(data / "particles.mrcs", BOX, PIXEL, count) as stack:
        stack.append(signal * images.numpy() + rng.standard_normal(images.shape))
    names = [f"{number:06d}@particles.mrcs" for number in range(1, count + 1)]
    optics = (Optics("one", PIXEL, 300.0, 0.0, 1.0),)
    table = names, optics, BOX, np.zeros(count, int), neutral_ctf(count)
    write_new_particles(data / "particles.star", *table)
    poses = Poses(rotations, shifts * PIXEL, torch.ones(count))
    write_new_particles(out / "particles.star", *table, poses, half_set=np.arange(count) % 2 + 1)
    density = signal * phantom.mean.density(BOX).float()
    write_map(out / "map.mrc", DensityMap(density, PIXEL))
    write_map(out / "mask.mrc", DensityMap(spherical_support(BOX, 10.0, 4.0), PIXEL))
    told = {
        "verdict": "converged",
        "symmetry": "C1",
        "date": "2026-11-26T12:00:00+00:00",
        "resolution_angstrom": {"fsc_0.143": 8.0, "fsc_0.5": 10.0},
        "settings": {"particles": str(data / "particles.star")},
    }
    (out / "result.json").write_text(json.dumps(told))
    return out


def drawn_coordinates(count: int, components: int, seed: int) -> Tensor:
    return torch.as_tensor(np.random.default_rng(seed).standard_normal((count, components))).float()


def correlations(found: Tensor, true: Tensor) -> Tensor:
    """Of each true coordinate (n, m) with the best linear combination of those found."""
    design = torch.cat([torch.ones(len(found), 1), found], dim=1).double()
    fitted = design @ torch.linalg.lstsq(design, true.double()).solution
    return torch.stack(
        [
            torch.corrcoef(torch.stack([a, b]))[0, 1]
            for a, b in zip(fitted.T, true.double().T, strict=True)
        ]
    )


def principal_cosines(first: Tensor, second: Tensor) -> Tensor:
    """Between the subspaces of maps (m, g, g, g)."""
    frames = [torch.linalg.qr(each.flatten(1).double().T).Q for each in (first, second)]
    return torch.linalg.svdvals(frames[0].T @ frames[1])
