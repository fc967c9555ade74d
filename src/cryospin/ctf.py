"""Contrast transfer from optics and defocus, astigmatic, on the Fourier disk.

CTF(0) = +amplitude contrast: RELION's sign, protein bright (docs/conventions.md).
Beam tilt, odd aberrations and magnification are taken out of the images (particles.lens).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.fourier.disk import FourierDisk
from cryospin.optics import CtfParameters


def wavelength_angstrom(voltage_kv: float) -> float:
    """`electron_wavelength_angstrom` of one voltage."""
    return float(electron_wavelength_angstrom(torch.tensor(voltage_kv, dtype=torch.float64)))


def electron_wavelength_angstrom(voltage_kv: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Relativistic de Broglie wavelength: h / sqrt(2 m e V (1 + eV / 2 m c^2))."""
    volts = voltage_kv * 1e3
    return 12.2642596 / torch.sqrt(volts * (1.0 + 0.97847571e-6 * volts))


def contrast_transfer(
    parameters: CtfParameters,
    disk: FourierDisk,
    pixel_size_angstrom: float,
    symmetrical_phase: Float[Tensor, " k"] | None = None,
) -> Float[Tensor, "n k"]:
    """CTF of each particle at each coefficient of the disk.

    -sin(chi'), chi' = pi lambda s^2 (lambda^2 s^2 Cs / 2 - defocus(angle)) - asin(w) - phase
    + symmetrical_phase (aberrations beyond Cs and astigmatism, in radians),
    with s the spatial frequency in 1/Angstrom (Rohou & Grigorieff 2015, eq. 2 to 4, with
    the sign that makes CTF(0) = +w).
    """
    dtype = parameters.defocus_u_angstrom.dtype

    def per_particle(values: Tensor) -> Tensor:
        return values.to(torch.float64)[:, None]

    wavelength = electron_wavelength_angstrom(per_particle(parameters.voltage_kv))
    cs = per_particle(parameters.spherical_aberration_mm) * 1e7
    u = per_particle(parameters.defocus_u_angstrom)
    v = per_particle(parameters.defocus_v_angstrom)
    axis = torch.deg2rad(per_particle(parameters.defocus_angle_degrees))
    contrast = per_particle(parameters.amplitude_contrast)
    phase = torch.deg2rad(per_particle(parameters.phase_shift_degrees))
    kx, ky = disk.frequencies(wavelength.device, torch.float64)
    scale = 1.0 / (disk.box * pixel_size_angstrom)
    # per particle the phase is a quadratic form in (kx^2, ky^2, kx ky), plus the Cs term
    # in |k|^4: two small matrix products instead of k angles per particle
    mean, half = 0.5 * (u + v), 0.5 * (u - v)
    second = torch.stack([kx**2, ky**2, kx * ky]) * scale**2
    defocus = torch.cat(
        [
            mean + half * torch.cos(2 * axis),
            mean - half * torch.cos(2 * axis),
            2 * half * torch.sin(2 * axis),
        ],
        dim=1,
    )
    quartic = ((kx**2 + ky**2) * scale**2) ** 2
    chi = (np.pi * wavelength * defocus) @ second
    chi -= (0.5 * np.pi * wavelength**3 * cs) * quartic
    chi += torch.asin(contrast) + phase
    if symmetrical_phase is not None:
        chi -= symmetrical_phase
    return torch.sin(chi).to(dtype)
