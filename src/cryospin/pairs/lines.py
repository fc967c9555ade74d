"""Images as lines through the origin of their transforms: what pairs of images share.

The transform is computed at the lines' own points, by a matrix product from a small image of
the same field of view: nothing is interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.fourier.disk import FourierDisk, coefficients_to_images
from cryospin.particles.source import ParticleSource

MARGIN = 2.0
"""Fourier pixels beyond the last radius that lines need, to be what they are in the image."""
_BATCH = 200


@dataclass(frozen=True)
class PolarLines:
    """Lines of n images at angles a pi / (l / 2), a = 0 .. l/2 - 1, and radii r.

    values: filtered, see `filtered`. The ray at an angle a half-turn on is the conjugate.
    radii: in Fourier pixels.
    """

    values: Complex[Tensor, "n a r"]
    radii: Float[Tensor, " r"]
    box: int

    def __len__(self) -> int:
        return len(self.values)

    @property
    def angles(self) -> Float[Tensor, " a"]:
        """Of the lines, in [0, pi)."""
        count = self.values.shape[1]
        return torch.arange(count, dtype=torch.float64) * (np.pi / count)


def filtered(
    particles: ParticleSource, power: Float[Tensor, " s"], disk: FourierDisk
) -> Complex[Tensor, "n k"]:
    """z = C x tau / (C^2 tau^2 + noise) with tau^2 the particle's power on the shell.

    Re<z_i, z_j> is what two coefficients of one signal add to the log-likelihood ratio against
    two signals: C_i C_j tau^2 x_i x_j where there is noise only, and where there is none both
    images' signals at unit power, so that no shell outweighs the others.
    """
    spread = power[disk.shells(particles.device)].clamp_min(0.0).sqrt()
    images = particles.images(disk.radius)
    weight = images.ctf * spread / ((images.ctf * spread) ** 2 + particles.noise_level)
    return images.coefficients * weight


def polar_lines(
    coefficients: Complex[Tensor, "n k"],
    disk: FourierDisk,
    lines: int,
    first_radius: float,
    last_radius: float,
) -> PolarLines:
    """Lines with a Fourier pixel between points, of images that reach `MARGIN` further."""
    side = 2 * int(np.ceil(disk.radius + 1))
    radii = torch.arange(first_radius, min(last_radius, disk.radius) + 1e-6)
    device = coefficients.device
    matrix = _polar_matrix(side, lines, first_radius, float(radii[-1]), device)
    parts = []
    for first in range(0, len(coefficients), _BATCH):
        images = coefficients_to_images(coefficients[first : first + _BATCH], disk, side)
        flat = images.flatten(1) @ matrix * (disk.box / side)
        parts.append(torch.complex(*flat.unflatten(1, (2, lines, len(radii))).unbind(1)))
    return PolarLines(torch.cat(parts), radii.to(device), disk.box)


@lru_cache(maxsize=4)
def _polar_matrix(
    side: int, lines: int, first_radius: float, last_radius: float, device: torch.device
) -> Float[Tensor, "p q"]:
    """exp(-2 pi i k.x / side) / side, real parts of all lines' points, then imaginary parts."""
    axis = torch.arange(side, dtype=torch.float64) - side // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    angle = torch.arange(lines, dtype=torch.float64) * (np.pi / lines)
    radii = torch.arange(first_radius, last_radius + 1e-6, dtype=torch.float64)
    kx = (angle.cos()[:, None] * radii).flatten()
    ky = (angle.sin()[:, None] * radii).flatten()
    phase = (x.flatten()[:, None] * kx + y.flatten()[:, None] * ky) * (-2.0 * np.pi / side)
    return (torch.cat([phase.cos(), phase.sin()], dim=1) / side).float().to(device)
