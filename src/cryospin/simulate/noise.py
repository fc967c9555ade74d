"""Detector and ice noise: Gaussian, white or coloured, each image from (seed, index) alone."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.particles.draws import generator_for

# the power spectrum of coloured noise is flat below this frequency, in cycles per pixel
CORNER_FREQUENCY = 1.0 / 16.0


def noise_power(box: int, exponent: float) -> Float[Tensor, "d half"]:
    """Power spectrum on rfft2's layout, mean 1 over the whole plane.

    (1 + (s / s0)^2)^(-exponent / 2), s0 = 1/16 cycles per pixel: a power law s^-exponent
    that levels off at low frequency; exponent 0 is white.
    """
    sy = torch.fft.fftfreq(box, dtype=torch.float64)
    squared = (sy[:, None] ** 2 + sy[None, :] ** 2) / CORNER_FREQUENCY**2
    power = (1.0 + squared) ** (-0.5 * exponent)
    return (power / power.mean())[:, : box // 2 + 1]


def draw_noise(seed: int, indices: np.ndarray, box: int, exponent: float) -> Float[Tensor, "b d d"]:
    """Noise of unit variance for the particles at `indices`, (b,)."""
    images = np.empty((len(indices), box, box), dtype=np.float32)
    for image, index in zip(images, indices, strict=True):
        generator_for(seed, "noise", index).standard_normal(out=image, dtype=np.float32)
    white = torch.from_numpy(images)
    if exponent == 0.0:
        return white
    amplitude = noise_power(box, exponent).sqrt().to(white.dtype)
    return torch.fft.irfft2(torch.fft.rfft2(white) * amplitude, s=(box, box))
