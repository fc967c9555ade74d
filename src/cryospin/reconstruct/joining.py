"""Two half-sets that were explored independently, in one frame."""

from __future__ import annotations

from cryospin.explore.setting import Setting
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.fourier.shell_curve import ShellCurve
from cryospin.journal.ranks import led, of_halves
from cryospin.particles.source import ParticleSource
from cryospin.reconstruct.refinement import Halves, unfiltered_map
from cryospin.refine.halves import HalfSet, after_alignment, sums_of
from cryospin.types import DensityMap
from cryospin.volumes.alignment import MapAlignment, align_maps, apply_alignment
from cryospin.volumes.gridded import SliceSums, support_sphere


def superimposed(halves: Halves, radius: float, setting: Setting) -> tuple[HalfSet, float]:
    """Half 2 in the frame and the hand of half 1, and the radius to which their maps then share
    an FSC of 0.5; both in Fourier pixels, the maps made out to `radius`."""

    def to_join(number: int) -> DensityMap:
        half = halves[number]
        sums = sums_of(half, radius, setting.operators)
        return map_to_join(sums, half.particles, radius, setting.support_radius)

    first, second = of_halves(to_join)
    alignment, agreement = led(lambda: _laid(second, first, radius))
    return after_alignment(halves[1], alignment), agreement


def _laid(moving: DensityMap, reference: DensityMap, radius: float) -> tuple[MapAlignment, float]:
    alignment, curve = laid_upon(moving, reference, radius)
    return alignment, curve.crossing(0.5)


def map_to_join(
    sums: SliceSums, particles: ParticleSource, radius: float, support_radius: float
) -> DensityMap:
    """What the sums alone say within `radius`, inside the support, on as few voxels as will do."""
    box = particles.disk.box
    support = support_sphere(box, radius, support_radius, particles.device)
    values = unfiltered_map(sums, radius, box, len(support)) * support
    return DensityMap(values, particles.pixel_size_angstrom * box / len(support))


def laid_upon(
    moving: DensityMap, reference: DensityMap, radius: float
) -> tuple[MapAlignment, ShellCurve]:
    """How a map is laid upon another, and their FSC then, to `radius` Fourier pixels."""
    alignment = align_maps(moving, reference)
    moved = apply_alignment(moving, alignment)
    curve = fourier_shell_correlation(reference.values.cpu(), moved.values)
    return alignment, ShellCurve.of_fsc(curve, radius)
