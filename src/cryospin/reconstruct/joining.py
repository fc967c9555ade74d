"""Two half-sets that were explored independently, in one frame."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.fourier.shell_curve import ShellCurve
from cryospin.reconstruct.refinement import Halves, unfiltered_map
from cryospin.refine.halves import HalfSet, after_alignment, sums_of
from cryospin.types import DensityMap
from cryospin.volumes.alignment import align_maps, apply_alignment
from cryospin.volumes.gridded import support_sphere


def superimposed(
    halves: Halves, radius: float, operators: Float[Tensor, "s 3 3"], support_radius: float
) -> tuple[HalfSet, float]:
    """Half 2 in the frame and the hand of half 1, and the radius to which their maps then share
    an FSC of 0.5; both in Fourier pixels, the maps made out to `radius`.

    support_radius: of the sphere the particle lies in, in boxes.
    """
    particles = halves[0].particles
    box, pixel = particles.disk.box, particles.pixel_size_angstrom
    support = support_sphere(box, radius, support_radius, particles.device)
    grid_pixel = pixel * box / support.shape[-1]
    maps = [
        DensityMap(
            unfiltered_map(sums_of(half, radius, operators), radius, box, len(support)) * support,
            grid_pixel,
        )
        for half in halves
    ]
    alignment = align_maps(maps[1], maps[0])
    moved = apply_alignment(maps[1], alignment)
    curve = fourier_shell_correlation(maps[0].values.cpu(), moved.values)
    agreement = ShellCurve.of_fsc(curve, radius).crossing(0.5)
    return after_alignment(halves[1], alignment), agreement
