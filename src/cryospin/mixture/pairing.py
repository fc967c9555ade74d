"""Which class of one half-set is which of the other, and both brought into one frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from cryospin.mixture.classed_half import ClassedHalf, ClassedHalves
from cryospin.mixture.image_search import ImageSearch, evenly, shares_taken
from cryospin.reconstruct.joining import laid_upon, map_to_join
from cryospin.refine.halves import after_alignment
from cryospin.types import DensityMap

_LOOKED_FOR = 100  # images of each class


@dataclass(frozen=True)
class Paired:
    """halves: class by class the same structure, in the frame of the first half's map.

    agreement: Fourier pixels to which the two maps of each class share FSC 0.5, class by class;
        the two were found independently.
    """

    halves: ClassedHalves
    agreement: tuple[float, ...]


def pair_classes(halves: ClassedHalves, search: ImageSearch) -> Paired:
    """Every class of half 1 with the class of half 2 that would take its images, and whose images
    it would take.

    Some images of each class are searched for in all maps of the other half-set; the pairs are
    those between which most go to and fro (one class each: Kuhn 1955). Low-passed maps of two
    molecules may be more alike than two bad ones of one; its images know it still. Then the map
    of half 2 is laid upon that of half 1, over all rotations, shifts and both hands.
    """

    def moves(half: ClassedHalf, other: ClassedHalf) -> Float[Tensor, "c c"]:
        some = [evenly(rows, _LOOKED_FOR) for rows in half.rows_by_class]
        placed = search.placed(half.sets[0].select(torch.cat(some)), search.volumes(other))
        return shares_taken(placed.weights, [len(rows) for rows in some])

    there, back = moves(*halves), moves(*halves[::-1])
    order = [int(other) for other in linear_sum_assignment(-(there + back.mT).numpy())[1]]
    second, setting = halves[1].ordered(order), search.setting

    def to_join(half: ClassedHalf, number: int) -> DensityMap:
        sums = half.sums(number, search.radius, setting.operators)
        return map_to_join(sums, half.particles, search.radius, setting.support_radius)

    moved, agreement = [], []
    for number, own in enumerate(second.sets):
        alignment, curve = laid_upon(
            to_join(second, number), to_join(halves[0], number), search.radius
        )
        moved.append(after_alignment(own, alignment))
        agreement.append(curve.crossing(0.5))
        search.progress("lay upon one another", number + 1, second.classes)
    return Paired((halves[0], ClassedHalf(tuple(moved), second.weights)), tuple(agreement))
