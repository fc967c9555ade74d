"""The pixels around a particle: where they are, how images are scaled by them, and their noise."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.fourier.disk import FourierDisk, images_to_coefficients
from cryospin.io.mrc import read_images
from cryospin.parallel import in_image_blocks
from cryospin.particles.draws import particle_keys
from cryospin.types import ParticleStack

_NOISE_BATCH = 200
_NOISE_SAMPLE = 2000  # images per optics group: the spectrum is then known to a per cent


def normalise_background(
    images: Float[Tensor, "b d d"], background: Tensor
) -> Float[Tensor, "b d d"]:
    """Zero mean and unit deviation over the background pixels of each image."""
    outside = images[:, background]
    mean = outside.mean(dim=1)[:, None, None]
    deviation = outside.std(dim=1)[:, None, None]
    return (images - mean) / deviation


def soft_circle(box: int, radius: float, edge: float) -> Float[Tensor, "d d"]:
    """1 inside `radius`, raised-cosine fall over `edge` pixels, 0 outside."""
    fall = ((radius_grid(box) - radius) / edge).clamp(0, 1)
    return 0.5 + 0.5 * torch.cos(np.pi * fall)


def radius_grid(box: int) -> Float[Tensor, "d d"]:
    """Distance of each pixel from the box centre, in pixels."""
    axis = torch.arange(box, dtype=torch.float32) - box // 2
    return torch.hypot(axis[:, None], axis[None, :])


def background_spectra(
    stack: ParticleStack, background: Tensor, disk: FourierDisk, seed: int
) -> Float[Tensor, "g s"]:
    """Noise power per optics group and shell, from the pixels outside the particle.

    The window smears the spectrum by a pixel or two, which a noise spectrum bears; its area
    is divided out. A later estimate from residuals replaces this one.
    """
    shells = int(disk.shell.max()) + 1
    shell = torch.as_tensor(disk.shell, dtype=torch.long)
    population = torch.bincount(shell, minlength=shells)
    area = background.float().mean()
    keys = particle_keys(seed, stack.uids, "noise-sample")
    spectra = []
    for group in range(len(stack.optics)):
        members = np.flatnonzero(stack.optics_group == group)
        chosen = np.sort(members[np.argsort(keys[members], kind="stable")[:_NOISE_SAMPLE]])

        def outside_power(rows: slice, chosen: np.ndarray = chosen) -> Float[Tensor, " k"]:
            images = normalise_background(read_images(stack, chosen[rows]), background)
            power = images_to_coefficients(images * background, disk).abs().square()
            return power.double().sum(dim=0)

        total = torch.zeros(len(disk), dtype=torch.float64)
        for power in in_image_blocks(outside_power, len(chosen), stack.box, _NOISE_BATCH):
            total += power
        power = torch.zeros(shells, dtype=torch.float64).index_add_(0, shell, total)
        spectrum = power / (population * max(len(chosen), 1)) / area
        # the window takes the mean out: shell 0 has no estimate of its own
        spectrum[0] = spectrum[1]
        spectra.append(spectrum)
    return torch.stack(spectra).float().clamp_min(1e-8)
