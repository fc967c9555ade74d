"""The maps a run ends in: both halves', and that of all particles, filtered by what these share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.explore.setting import Setting
from cryospin.fourier.shell_curve import ShellCurve
from cryospin.particles.source import ParticleSource
from cryospin.reconstruct.refinement import half_set_fsc, prior_of, unfiltered_map
from cryospin.types import DensityMap
from cryospin.volumes.gridded import SliceSums, map_of, spherical_support
from cryospin.volumes.map_sign import looks_dark
from cryospin.volumes.masks import soft_mask
from cryospin.volumes.resolution import HalfMapResolution, half_map_resolution


@dataclass(frozen=True)
class FinalMaps:
    """Maps on the box of the images.

    density: of all particles, by Wiener's filter. half1, half2: unfiltered, unmasked.
    filtered: the halves', each by its own Wiener filter, in units of the whitened images.
    turned: whether all but `filtered` are the negative of what the images would give.
    """

    density: DensityMap
    half1: DensityMap
    half2: DensityMap
    mask: DensityMap
    filtered: tuple[Float[Tensor, "d d d"], Float[Tensor, "d d d"]]
    resolution: HalfMapResolution
    turned: bool


def final_maps(
    sums: tuple[SliceSums, SliceSums],
    particles: ParticleSource,
    setting: Setting,
    either_contrast: bool,
) -> FinalMaps:
    """sums: of the halves' unmasked images. particles: of either, for its frame.

    either_contrast: a map in which the particle is dark is turned to its negative. The phases
    that are randomised (`volumes.resolution`) depend on the seed.
    """
    box, pixel, device = particles.disk.box, particles.pixel_size_angstrom, particles.device
    radius = particles.disk.radius
    support = spherical_support(box, setting.support_radius * box, 0.07 * box, device)
    curve = half_set_fsc(sums, radius, box, support)
    filtered = (
        map_of(sums[0], prior_of(sums[0], curve), radius, box, support),
        map_of(sums[1], prior_of(sums[1], curve), radius, box, support),
    )
    rough = both_together(sums, curve, radius, box)
    turned = either_contrast and looks_dark(rough, support)
    sign = -1.0 if turned else 1.0
    half1, half2 = (
        DensityMap(sign * unfiltered_map(s, radius, box, box).cpu(), pixel) for s in sums
    )
    mask = soft_mask(DensityMap(sign * rough.cpu(), pixel))
    resolution = half_map_resolution(half1, half2, mask, seed=setting.seed)
    # by what the halves share inside of the mask: the solvent's noise would cut detail
    shared = ShellCurve.of_fsc(resolution.corrected.to(device), radius)
    density = DensityMap(sign * both_together(sums, shared, radius, box).cpu(), pixel)
    return FinalMaps(density, half1, half2, mask, filtered, resolution, turned)


def both_together(
    sums: tuple[SliceSums, SliceSums], curve: ShellCurve, radius: float, box: int
) -> Float[Tensor, "d d d"]:
    """The Wiener map of all particles; `curve`: the FSC of the halves.

    SSNR of both halves together: the prior is one half's over the doubled denominator.
    """
    joint = sums[0] + sums[1]
    everywhere = torch.ones(box, box, box, device=joint.numerator.device)
    return map_of(joint, 0.5 * prior_of(joint, curve), radius, box, everywhere)
