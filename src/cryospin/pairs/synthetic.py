"""Particles of a map made in memory, for training: slices, transfer, shifts, fresh noise.

Made with the model that explains them, unlike those of `simulate`: thousands a second, and what
is learned from them is judged on images of `simulate`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.ctf import contrast_transfer
from cryospin.fourier.disk import FourierDisk, moved
from cryospin.kernels import slice_volume
from cryospin.optics import CtfParameters
from cryospin.particles.prepare import PreparedParticles


@dataclass(frozen=True)
class SyntheticParticles:
    """Whitened particles, their poses, and the power of the signal among them.

    power: mean |P|^2 per shell of the box, in units of the noise, as `signal_power` estimates.
    """

    particles: PreparedParticles
    rotations: Float[Tensor, "n 3 3"]
    shifts_pixel: Float[Tensor, "n 2"]
    power: Float[Tensor, " s"]


def synthetic_particles(
    volume: Complex[Tensor, "z y x"],
    rotations: Float[Tensor, "n 3 3"],
    disk: FourierDisk,
    pixel_size_angstrom: float,
    rng: np.random.Generator,
    *,
    snr: float,
    defocus_um: tuple[float, float] | None = (1.0, 3.0),
    largest_shift_pixel: float = 0.0,
) -> SyntheticParticles:
    """Images of a Fourier volume at these orientations.

    snr: variance of the signal after the transfer over that of the noise in the full box, as
        far as the disk holds the signal. defocus_um: drawn from this range, with up to 400
        Angstrom of astigmatism; None: no contrast transfer.
    """
    count, device = len(rotations), volume.device
    slices = slice_volume(volume, rotations.float(), disk)
    ctf = torch.ones(count, len(disk), device=device)
    if defocus_um is not None:
        drawn = drawn_ctf(count, defocus_um, rng).to(device)
        ctf = contrast_transfer(drawn, disk, pixel_size_angstrom)
    ctf = ctf.float()
    # both Friedel mates count, the box has d^2 pixels
    variance = 2.0 * (ctf * slices).abs().square().sum(dim=1).mean() / disk.box**2
    amplitude = (snr / variance.clamp_min(1e-30)).sqrt()
    shifts = torch.as_tensor(rng.uniform(-1.0, 1.0, (count, 2)) * largest_shift_pixel).float()
    noise = torch.as_tensor(rng.standard_normal((count, len(disk), 2), dtype=np.float32))
    shifts, noise = (drawn.to(device, non_blocking=True) for drawn in (shifts, noise))
    images = moved(amplitude * ctf * slices, shifts, disk)
    images = images + 0.5**0.5 * torch.view_as_complex(noise)
    particles = PreparedParticles(
        disk=disk,
        pixel_size_angstrom=pixel_size_angstrom,
        uids=tuple(f"{i}@synthetic" for i in range(count)),
        coefficients=images,
        ctf=ctf,
        optics_group=torch.zeros(count, dtype=torch.long, device=device),
        noise_power=torch.ones(1, int(disk.shell.max()) + 1, device=device),
    )
    shell, population = disk.shells(device), disk.population(device)
    power = (amplitude * slices).abs().square().mean(dim=0)
    per_shell = power.new_zeros(len(population)).index_add_(0, shell, power)
    return SyntheticParticles(particles, rotations, shifts, per_shell / population)


def drawn_ctf(
    count: int, defocus_um: tuple[float, float], rng: np.random.Generator
) -> CtfParameters:
    """300 kV, Cs 2.7 mm, 10 % amplitude contrast; mean defocus uniform in a range."""
    mean = 1e4 * rng.uniform(*defocus_um, count)
    half = 200.0 * rng.random(count)
    zero = np.zeros(count)
    columns = [mean + half, mean - half, 180.0 * rng.random(count) - 90.0, zero]
    columns += [zero + 300.0, zero + 2.7, zero + 0.1]
    return CtfParameters(*(torch.as_tensor(column) for column in columns))
