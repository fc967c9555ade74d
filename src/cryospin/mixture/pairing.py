"""Which class of one half-set is which of the other, and both brought into one frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from cryospin.explore.setting import Setting
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.reconstruct.joining import laid_upon, map_to_join
from cryospin.refine.halves import after_alignment
from cryospin.volumes.alignment import MapAlignment

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
    setting: Setting,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Paired:
    """Every class of half 1 with the class of half 2 whose map is most like its own.

    Each map of half 2 is laid upon each of half 1, over all rotations, shifts and both hands; the
    pairs are those whose FSC is highest in sum (one class each: Kuhn 1955).
    """
    maps = [
        [
            map_to_join(
                half.sums(c, radius, setting.operators),
                half.particles,
                radius,
                setting.support_radius,
            )
            for c in range(half.classes)
        ]
        for half in halves
    ]
    count = halves[0].classes
    found: dict[tuple[int, int], tuple[MapAlignment, float]] = {}
    likeness = np.zeros((count, count))
    for one in range(count):
        for other in range(count):
            alignment, curve = laid_upon(maps[1][other], maps[0][one], radius)
            likeness[one, other] = float(curve.values[1:].mean())
            found[one, other] = alignment, curve.crossing(0.5)
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
