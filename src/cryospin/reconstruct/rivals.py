"""Do the random starts of a half-set tell one story? Maps that explain as much and differ are
rivals, of which at most one is right."""

from __future__ import annotations

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from cryospin.explore.exploration import Exploration
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.fourier.shell_curve import ShellCurve
from cryospin.particles.source import ParticleSource
from cryospin.particles.spectrum import prior_precision
from cryospin.reconstruct.exploration_report import StartReport
from cryospin.types import DensityMap
from cryospin.volumes.alignment import align_maps, apply_alignment
from cryospin.volumes.gridded import SliceSums, map_of, support_sphere

_AGREES = 0.7  # of the radius of a start's map: the last shells are those just reached
_AS_GOOD_SIGMAS = 2.0


def report_starts(
    exploration: Exploration, particles: ParticleSource, support_radius: float, attempt: int
) -> tuple[StartReport, ...]:
    """Each start and, where the exploration kept the maps of several, to which shell (FSC 0.5,
    best frame and hand) it agrees with the best, and whether it is a rival: a map that explains
    held-out images as well, and differs."""
    starts = tuple(
        StartReport(attempt, start, score, exploration.rising)
        for start, score in enumerate(exploration.scores, 1)
    )
    if len(exploration.starts) < 2:
        return starts
    radius = exploration.starts_radius
    precision = prior_precision(particles)
    maps = [
        _density(sums, radius, particles, precision, support_radius) for sums in exploration.starts
    ]
    best = maps[exploration.scores.index(exploration.score)]
    as_good = exploration.score - _AS_GOOD_SIGMAS * exploration.uncertainty
    compared = []
    for start, density in zip(starts, maps, strict=True):
        if density is best:
            compared.append(replace(start, agrees_to_shell=radius, rival=False))
            continue
        moved = apply_alignment(density, align_maps(density, best))
        curve = fourier_shell_correlation(moved.values, best.values.cpu())
        reached = ShellCurve.of_fsc(curve, radius).crossing(0.5)
        rival = start.score >= as_good and reached < _AGREES * radius
        compared.append(replace(start, agrees_to_shell=reached, rival=rival))
    return tuple(compared)


def _density(
    sums: SliceSums,
    radius: float,
    particles: ParticleSource,
    precision: Float[Tensor, " s"],
    support_radius: float,
) -> DensityMap:
    box = particles.disk.box
    support = support_sphere(box, radius, support_radius, particles.device)
    values = map_of(sums, precision, radius, box, support)
    return DensityMap(values, particles.pixel_size_angstrom * box / len(support))
