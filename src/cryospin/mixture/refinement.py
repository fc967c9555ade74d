"""Classes and poses of both half-sets refined side by side.

All classes are compared within one radius, that to which the least of them agrees: detail that one
map has and another has not would decide for it. A class that is no structure, whose half-maps do
not agree at all, holds up no other. And all have one Wiener prior, of what their half-maps share on
average: filtered by its own, a class of poor poses explains its images worse than other structures
do, loses them, and its half-maps then share less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.explore.setting import Setting
from cryospin.mixture.classed_half import ClassedHalf, ClassedHalves, class_weights
from cryospin.mixture.junk import junk_log_likelihoods, log_evidence
from cryospin.reconstruct.refinement import half_set_fsc, prior_of, solvent_flattened
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.refine.halves import HalfSet, refine_half
from cryospin.volumes.gridded import SliceSums, map_of, support_sphere


@dataclass(frozen=True)
class ClassedRefinement:
    """Hyper-parameters; radii in Fourier pixels.

    junk: whether images may belong to none of the classes. From the first round on, or junk would
        gather in the class of the weakest map, weaken it further, and take it.
    rounds: of maps, then poses and classes. candidate: probability from which on an image's pose
        in a class is refined. growth, first_radius: of the radius compared within, which is never
        further than `headroom` beyond where half-maps agree.
    """

    rounds: int = 6
    first_radius: float = 12.0
    smallest_radius: float = 8.0
    growth: float = 1.25
    headroom: float = 1.0
    candidate: float = 0.01
    junk: bool = True
    method: GaussNewton = GaussNewton(steps=3)

    def run(
        self,
        halves: ClassedHalves,
        setting: Setting,
        report: Callable[[int, int, ClassedHalves], None] = lambda done, total, halves: None,
    ) -> ClassedHalves:
        largest = halves[0].particles.disk.radius
        radius = min(self.first_radius, largest)
        for number in range(self.rounds):
            outer = min(radius * self.growth + 4, largest)
            maps, limits = class_maps(halves, outer, setting)
            reach = common_reach(limits, self.smallest_radius)
            radius = max(min(radius, reach + self.headroom), self.smallest_radius)
            halves = (
                self._refined(halves[0], maps[0], radius, setting.shift_range_pixel),
                self._refined(halves[1], maps[1], radius, setting.shift_range_pixel),
            )
            radius = min(radius * self.growth, largest)
            report(number + 1, self.rounds, halves)
        return halves

    def _refined(
        self,
        half: ClassedHalf,
        maps: list[Float[Tensor, "g g g"]],
        radius: float,
        shift_range_pixel: float,
    ) -> ClassedHalf:
        sets = tuple(
            self._moved(half.sets[c], half.weights[:, c] > self.candidate, maps[c], radius)
            for c in range(half.classes)
        )
        return weighed(sets, half.fractions, maps, radius, shift_range_pixel, self.junk)

    def _moved(
        self, half: HalfSet, candidates: Tensor, density: Float[Tensor, "g g g"], radius: float
    ) -> HalfSet:
        """The poses of a class's candidates refined, the others' left alone."""
        rows = torch.nonzero(candidates).flatten()
        if not len(rows):
            return half
        found = refine_half(half.select(rows), density, radius, self.method)
        return replace(half, poses=half.poses.with_rows(rows, found.poses))


def weighed(
    sets: tuple[HalfSet, ...],
    fractions: Float[Tensor, " c"],
    maps: list[Float[Tensor, "g g g"]],
    radius: float,
    shift_range_pixel: float,
    junk: bool = True,
) -> ClassedHalf:
    """Images by how well the classes' maps explain them at the poses they have there, and by how
    well they would be explained as junk, if some may be."""
    found = [
        log_evidence(each, density, radius, shift_range_pixel)
        for each, density in zip(sets, maps, strict=True)
    ]
    evidence, losses = (torch.stack(each, dim=1) for each in zip(*found, strict=True))
    as_junk = None
    if junk:
        as_junk = junk_log_likelihoods(sets[0].particles, radius, losses.amin(dim=1))
    return ClassedHalf(sets, class_weights(evidence, fractions, as_junk))


def class_maps(
    halves: ClassedHalves, radius: float, setting: Setting
) -> tuple[tuple[list[Tensor], list[Tensor]], list[float]]:
    """The Wiener maps of each half and class, without the solvent's noise, and the radius to
    which each class's half-maps share FSC 0.143."""
    particles = halves[0].particles
    box = particles.disk.box
    support = support_sphere(box, radius, setting.support_radius, particles.device)
    sums = [
        [half.sums(number, radius, setting.operators) for number in range(half.classes)]
        for half in halves
    ]
    curves = [half_set_fsc(pair, radius, box, support) for pair in zip(*sums, strict=True)]

    def maps(half: ClassedHalf, sums: list[SliceSums]) -> list[Tensor]:
        priors = [prior_of(own, curve) for own, curve in zip(sums, curves, strict=True)]
        prior = common_prior(torch.stack(priors, dim=1), half.fractions)
        return [
            solvent_flattened(
                map_of(own, prior, radius, box, support), support, particles.field_angstrom
            )
            for own in sums
        ]

    first, second = map(maps, halves, sums)
    return (first, second), [curve.crossing(0.143) for curve in curves]


def common_prior(
    priors: Float[Tensor, "s c"], fractions: Float[Tensor, " c"]
) -> Float[Tensor, " s"]:
    """One over the mean power of the classes' signals, shell by shell; of what has no images none
    is known."""
    power = torch.nan_to_num(1 / priors, posinf=0.0)
    share = fractions.clamp_min(1e-6)
    return 1 / (power @ (share / share.sum())).clamp_min(1e-30)


def comparable_maps(
    halves: ClassedHalves, radius: float, setting: Setting, least: float
) -> tuple[tuple[list[Tensor], list[Tensor]], float]:
    """`class_maps`, and the radius within which to compare them, `radius` at most: that to which
    the least of them agrees of those that agree to `least` at all."""
    radius = min(radius, halves[0].particles.disk.radius)
    maps, limits = class_maps(halves, radius, setting)
    return maps, min(radius, max(common_reach(limits, least), min(limits)))


def common_reach(limits: list[float], least: float) -> float:
    """The radius to which all classes agree that agree to `least` at all; 0 where none does."""
    return min((limit for limit in limits if limit >= least), default=0.0)
