"""A map from elsewhere as a starting point: brought to the images' grid, filter and scale."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Complex
from scipy.ndimage import affine_transform
from torch import Tensor

from cryospin.kernels import slice_volume
from cryospin.particles.draws import generator_for
from cryospin.particles.prepare import PreparedParticles
from cryospin.rotations.sampling import random_rotations
from cryospin.types import DensityMap
from cryospin.volumes.gridded import map_to_volume, shells_of_volume

_VIEWS = 500  # random slices and images the scale is taken from


def initial_volume(
    initial: DensityMap, lowpass_angstrom: float, particles: PreparedParticles
) -> Complex[Tensor, "z y x"]:
    """The Fourier volume of `initial`, low-passed, with the amplitude the images call for.

    Maps come in all scales; the power of the images above their noise says how bright the
    particle is in theirs: mean of |x|^2 - 1 over mean of C^2 |P|^2.
    """
    box, pixel = particles.disk.box, particles.pixel_size_angstrom
    radius = min(box * pixel / lowpass_angstrom, particles.disk.radius)
    density = on_grid(low_passed(initial, lowpass_angstrom), box, pixel)
    volume = map_to_volume(density.values, box, radius)
    volume = volume * (shells_of_volume(volume.shape[-1] - 1) <= radius)
    disk = particles.disk.prefix(radius)
    views = random_rotations(_VIEWS, generator_for(0, "initial map"))
    slices = slice_volume(volume, views, disk).abs().square().mean(dim=0)
    excess = particles.coefficients[:, : len(disk)].abs().square().mean(dim=0) - 1.0
    expected = particles.ctf[:, : len(disk)].square().mean(dim=0) * slices
    # the origin is left out: its noise is the background's, which normalisation took away
    return volume * (excess[1:].sum() / expected[1:].sum()).clamp_min(1e-12).sqrt()


def low_passed(density: DensityMap, resolution_angstrom: float) -> DensityMap:
    """Sharp cut in Fourier space."""
    box = density.box
    frequency = torch.fft.fftfreq(box, density.pixel_size_angstrom)
    half = torch.fft.rfftfreq(box, density.pixel_size_angstrom)
    square = frequency[:, None, None] ** 2 + frequency[None, :, None] ** 2 + half**2
    spectrum = torch.fft.rfftn(density.values) * (square <= resolution_angstrom**-2)
    values = torch.fft.irfftn(spectrum, s=(box, box, box))
    return DensityMap(values, density.pixel_size_angstrom)


def on_grid(density: DensityMap, box: int, pixel_size_angstrom: float) -> DensityMap:
    """The same map on another box and pixel, centre on centre, by cubic splines."""
    scale = pixel_size_angstrom / density.pixel_size_angstrom
    offset = density.box // 2 - scale * (box // 2)
    values = affine_transform(
        density.values.numpy(),
        np.full(3, scale),
        offset,
        output_shape=(box, box, box),
        order=3,
        mode="constant",
    )
    return DensityMap(torch.as_tensor(values, dtype=torch.float32), pixel_size_angstrom)
