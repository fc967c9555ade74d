"""A map from elsewhere as a starting point: brought to the images' grid, filter and scale."""

from __future__ import annotations

from jaxtyping import Complex
from torch import Tensor

from cryospin.kernels import slice_volume
from cryospin.particles.draws import generator_for
from cryospin.particles.source import ParticleSource
from cryospin.rotations.sampling import random_rotations
from cryospin.types import DensityMap
from cryospin.volumes.gridded import map_to_volume
from cryospin.volumes.masks import low_passed
from cryospin.volumes.resample import resample
from cryospin.volumes.volume_shells import shells_of_volume

_VIEWS = 500  # random slices and images the scale is taken from


def initial_volume(
    initial: DensityMap, lowpass_angstrom: float, particles: ParticleSource
) -> tuple[Complex[Tensor, "z y x"], float]:
    """The Fourier volume of `initial`, low-passed, with the amplitude the images call for, and how
    far it reaches in Fourier pixels.

    Maps come in all scales; the power of the images above their noise says how bright the
    particle is in theirs: mean of |x|^2 - 1 over mean of C^2 |P|^2.
    """
    box, pixel = particles.disk.box, particles.pixel_size_angstrom
    radius = min(box * pixel / lowpass_angstrom, particles.disk.radius)
    density = resample(low_passed(initial, lowpass_angstrom), box, pixel)
    volume = map_to_volume(density.values, box, radius)
    volume = volume * (shells_of_volume(volume.shape[-1] - 1, device=volume.device) <= radius)
    disk = particles.disk.prefix(radius)
    views = random_rotations(_VIEWS, generator_for(0, "initial map"))
    slices = slice_volume(volume, views, disk).abs().square().mean(dim=0)
    images = particles.images(radius)
    excess = images.coefficients.abs().square().mean(dim=0) - 1.0
    expected = images.ctf.square().mean(dim=0) * slices
    # the origin is left out: its noise is the background's, which normalisation took away
    return volume * (excess[1:].sum() / expected[1:].sum()).clamp_min(1e-12).sqrt(), radius
