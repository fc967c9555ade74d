"""Which class of one half-set is which of the other, and both brought into one frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.fourier.shell_curve import ShellCurve
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.reconstruct.refinement import unfiltered_map
from cryospin.refine.halves import after_alignment
from cryospin.types import DensityMap
from cryospin.volumes.alignment import MapAlignment, align_maps, apply_alignment
from cryospin.volumes.gridded import support_sphere

ClassedHalves = tuple[ClassedHalf, ClassedHalf]


@dataclass(frozen=True)
class Paired:
    """halves: class by class the same structure, in the frame of the first half's map.

    agreement: Fourier pixels to which the two maps of each class share FSC 0.5, class by class;
        the two were found independently.
    """

    halves: ClassedHalves
    agreement: tuple[float, ...]


def pair_classes(
    halves: ClassedHalves,
    radius: float,
    operators: Float[Tensor, "s 3 3"],
    support_radius: float,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Paired:
    """Every class of half 1 with the class of half 2 whose map is most like its own.

    Each map of half 2 is laid upon each of half 1, over all rotations, shifts and both hands; the
    pairs are those whose FSC is highest in sum (one class each: Kuhn 1955).
    """
    maps = [_maps(half, radius, operators, support_radius) for half in halves]
    count = halves[0].classes
    found: dict[tuple[int, int], tuple[MapAlignment, float]] = {}
    likeness = np.zeros((count, count))
    for one in range(count):
        for other in range(count):
            alignment = align_maps(maps[1][other], maps[0][one])
            moved = apply_alignment(maps[1][other], alignment)
            curve = fourier_shell_correlation(maps[0][one].values.cpu(), moved.values)
            curve = curve[: int(radius)]
            likeness[one, other] = float(curve.mean())
            found[one, other] = alignment, ShellCurve.of_fsc(curve).crossing(0.5)
            progress(one * count + other + 1, count * count)
    order = [int(other) for other in linear_sum_assignment(-likeness)[1]]
    second = halves[1].ordered(order)
    pairs = [found[one, other] for one, other in enumerate(order)]
    sets = tuple(
        after_alignment(each, alignment)
        for each, (alignment, _) in zip(second.sets, pairs, strict=True)
    )
    moved_half = ClassedHalf(sets, second.weights)
    return Paired((halves[0], moved_half), tuple(agreement for _, agreement in pairs))


def _maps(
    half: ClassedHalf, radius: float, operators: Float[Tensor, "s 3 3"], support_radius: float
) -> list[DensityMap]:
    particles = half.particles
    box = particles.disk.box
    support = support_sphere(box, radius, support_radius, particles.device)
    grid = len(support)
    return [
        DensityMap(
            unfiltered_map(half.sums(c, radius, operators), radius, box, grid) * support,
            particles.pixel_size_angstrom * box / grid,
        )
        for c in range(half.classes)
    ]
