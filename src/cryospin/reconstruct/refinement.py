"""Two half-sets refined side by side: poses by Gauss-Newton, maps in closed form.

The half-set FSC sets the Wiener prior and the radius: detail the halves do not share cannot
move a pose, so pose errors do not rise again as the radius grows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.explore.setting import Setting
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.fourier.shell_curve import ShellCurve
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.journal.ranks import led, of_halves
from cryospin.journal.tree import Tree
from cryospin.poses import Assignment
from cryospin.refine.assign import SAME_POSE_COSINE, GlobalAssignment
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.refine.halves import (
    HalfSet,
    losses_of,
    refine_half,
    residual_noise,
    rewhitened,
    sums_of,
)
from cryospin.types import DensityMap
from cryospin.volumes.gridded import (
    SliceSums,
    map_of,
    map_to_volume,
    support_sphere,
    volume_to_map,
    wiener_volume,
)
from cryospin.volumes.map_sign import looks_dark
from cryospin.volumes.masks import soft_mask
from cryospin.volumes.resample import resized_map
from cryospin.volumes.volume_shells import shell_means

Halves = tuple[HalfSet, HalfSet]

# voxels a mask is drawn on: the map is low-passed to a sixteenth of the box or less, more only cost
_MASK_GRID = 64


@dataclass(frozen=True)
class RoundReport:
    """What one round saw: radius searched, radius of FSC 0.143, median turn of the poses."""

    radius: float
    limit: float
    median_turn_degrees: float


@dataclass(frozen=True)
class RoundSight:
    """What a round had before it, each half's map and their FSC, and the halves after it."""

    densities: tuple[Float[Tensor, "g g g"], Float[Tensor, "g g g"]]
    curve: ShellCurve
    halves: Halves


Report = Callable[[int, int, RoundReport, RoundSight], None]
"""Called after a round with its number, the number of rounds, and what there is to tell and see."""


@dataclass(frozen=True)
class AlternatingRefinement:
    """Hyper-parameters; radii in Fourier pixels.

    growth: the radius grows by at most this factor a round, and `headroom` shells beyond
        where the FSC says the halves agree.
    settled_degrees: stop when the median pose turns less than this at the final radius.
    noise_rounds: rounds after which each half takes its noise spectrum anew, from its residuals.
    second_look: round after which particles of less than `sure` confidence, or of a loss more
        than `poor_deviations` above the median, are searched for anew, over everything, in
        their half's better map, within `second_look_radius`; and again after the next rounds,
        `most_looks` in all, for as long as a look moves more than `few` of all particles.
    """

    first_radius: float = 12.0
    growth: float = 1.25
    headroom: float = 1.0
    most_rounds: int = 12
    settled_degrees: float = 0.1
    second_look: int = 2
    second_look_radius: float = 15.0
    sure: float = 0.9
    few: float = 0.01
    most_looks: int = 3
    poor_deviations: float = 2.0
    noise_rounds: tuple[int, ...] = (2, 5)
    method: GaussNewton = GaussNewton(steps=3)

    def run(
        self,
        halves: Halves,
        setting: Setting,
        assignment: GlobalAssignment,
        report: Report = lambda done, total, told, sight: None,
        journal: Journal = UNRECORDED,
    ) -> tuple[Halves, list[RoundReport]]:
        """Alternate maps and poses until poses settle or rounds run out."""
        largest = halves[0].particles.disk.radius
        radius = min(self.first_radius, largest)
        reports: list[RoundReport] = []
        whitened: list[tuple[Tensor, Tensor]] = []
        moving, settled = 1.0, False
        if recalled := journal.recalled():
            poses, whitened, radius, reports, moving, settled = recalled
            halves = _recalled(halves, poses, whitened)
        while len(reports) < self.most_rounds and not settled:
            number = len(reports)
            outer = min(radius * self.growth + 4, largest)
            first, second = of_halves(partial(_sums, halves, outer, setting.operators))
            sums = first, second
            box, device = halves[0].particles.disk.box, halves[0].particles.device
            support = support_sphere(box, outer, setting.support_radius, device)
            field = halves[0].particles.field_angstrom
            curve, densities, references = led(partial(_maps, sums, outer, box, support, field))
            limit = curve.crossing(0.143)
            radius = float(np.clip(min(radius, limit + self.headroom), 6.0, largest))
            before = halves
            looking = number in self._rounds_of_looks() and moving > self.few
            again = journal.part(f"look{number + 1}")

            def better(
                half: int,
                halves: Halves = halves,
                references: list[Tensor] = references,
                radius: float = radius,
                looking: bool = looking,
                again: Journal = again,
            ) -> tuple[Assignment, int]:
                """A half's poses refined, or looked for again, and how many went elsewhere."""
                refined = refine_half(halves[half], references[half], radius, self.method)
                if looking:
                    return self._looked_again(
                        refined,
                        references[half],
                        setting,
                        assignment,
                        again.part(f"half{half + 1}"),
                    )
                return refined.poses, 0

            (poses1, moved1), (poses2, moved2) = of_halves(better)
            halves = (
                HalfSet(halves[0].particles, poses1),
                HalfSet(halves[1].particles, poses2),
            )
            if looking:
                moving = (moved1 + moved2) / sum(len(half.particles) for half in halves)
            if number in self.noise_rounds:
                noise1, noise2 = of_halves(partial(_residual, halves, densities, outer))
                halves = rewhitened(halves[0], noise1), rewhitened(halves[1], noise2)
                whitened.append((halves[0].particles.noise_power, halves[1].particles.noise_power))
            turn = led(partial(median_turn_degrees, before, halves))
            reports.append(RoundReport(radius, limit, turn))
            sight = RoundSight((densities[0], densities[1]), curve, halves)
            report(number + 1, self.most_rounds, reports[-1], sight)
            at_the_end = radius >= min(limit, largest) - 0.5
            settled = at_the_end and reports[-1].median_turn_degrees < self.settled_degrees
            radius = min(radius * self.growth, largest)
            journal.keep(partial(_poses, halves), whitened, radius, reports, moving, settled)
        journal.keep_now(partial(_poses, halves), whitened, radius, reports, moving, settled)
        return halves, reports

    def _rounds_of_looks(self) -> range:
        return range(self.second_look, self.second_look + self.most_looks)

    def _looked_again(
        self,
        half: HalfSet,
        density: Float[Tensor, "g g g"],
        setting: Setting,
        assignment: GlobalAssignment,
        journal: Journal,
    ) -> tuple[Assignment, int]:
        """Poses after unsure particles were searched for over all; each keeps the better of two.
        And how many went elsewhere.

        Unsure: rivals weigh much, or the loss lies far above the half's median.
        """
        disk = half.particles.disk.prefix(self.second_look_radius)
        volume = map_to_volume(density, disk.box, disk.radius)
        losses = losses_of(half, volume, disk.radius)
        spread = 1.4826 * (losses - losses.median()).abs().median()
        poor = losses > losses.median() + self.poor_deviations * spread
        rows = torch.nonzero((half.confidence < self.sure) | poor).flatten()
        if len(rows) == 0:
            return half.poses, 0
        particles = half.particles.select(rows.cpu().numpy())
        found = assignment.run(volume, particles, disk.radius, setting, journal=journal)
        before = half.poses.select(rows)
        kept = torch.nonzero(~(found.loss < losses[rows])).flatten()
        # whose search found nothing better is as sure as the search was
        stay = replace(before.select(kept), confidence=found.confidence[kept])
        chosen = found.with_rows(kept, stay)
        cosine = (torch.einsum("nij,nij->n", chosen.rotations, before.rotations) - 1) / 2
        return half.poses.with_rows(rows, chosen), int((cosine < SAME_POSE_COSINE).sum())


def _sums(halves: Halves, radius: float, operators: Float[Tensor, "s 3 3"], half: int) -> SliceSums:
    return sums_of(halves[half], radius, operators)


def _residual(
    halves: Halves, densities: list[Tensor], radius: float, half: int
) -> Float[Tensor, "o s"]:
    return residual_noise(halves[half], densities[half], radius)


def _maps(
    sums: tuple[SliceSums, SliceSums],
    radius: float,
    box: int,
    support: Float[Tensor, "g g g"],
    field_angstrom: float,
) -> tuple[ShellCurve, list[Tensor], list[Tensor]]:
    """How far the halves agree, and their maps, with solvent and without."""
    curve = half_set_fsc(sums, radius, box, support)
    densities = [map_of(s, prior_of(s, curve), radius, box, support) for s in sums]
    references = [solvent_flattened(density, support, field_angstrom) for density in densities]
    return curve, densities, references


def _poses(halves: Halves) -> Tree:
    return [half.poses for half in halves]


def _recalled(halves: Halves, poses: Tree, whitened: list[tuple[Tensor, Tensor]]) -> Halves:
    """The halves at these poses, whitened by one noise spectrum after the other, as they were:
    each division is rounded."""

    def one(which: int) -> HalfSet:
        particles = halves[which].particles
        for powers in whitened:
            particles = particles.rewhitened(powers[which])
        return HalfSet(particles, poses[which])

    return one(0), one(1)


def solvent_flattened(
    density: Float[Tensor, "g g g"], support: Float[Tensor, "g g g"], field_angstrom: float
) -> Float[Tensor, "g g g"]:
    """The map of one half without the noise outside of its particle, be it dense or dark.

    Poses that turn to noise make the map, and turn to it again; without the solvent's they do so
    less. The mask is the map's own, drawn anew each round, and generous; no half sees the other's.
    """
    dense = -density if looks_dark(density, support) else density
    drawn_on = resized_map(dense, _MASK_GRID).cpu()
    mask = soft_mask(DensityMap(drawn_on, field_angstrom / _MASK_GRID)).values
    return density * resized_map(mask.to(density.device), len(density)).clamp(0, 1)


def half_set_fsc(
    sums: tuple[SliceSums, SliceSums], radius: float, box: int, support: Float[Tensor, "g g g"]
) -> ShellCurve:
    """FSC of the two unregularised maps inside the support, as far as `radius`."""
    maps = [unfiltered_map(s, radius, box, support.shape[-1]) * support for s in sums]
    return ShellCurve.of_fsc(fourier_shell_correlation(maps[0], maps[1]), radius)


def unfiltered_map(sums: SliceSums, radius: float, box: int, grid: int) -> Float[Tensor, "g g g"]:
    """The map the data alone give: the prior only keeps empty places from dividing by zero."""
    shells = int(radius) + 2
    weak = 1e-3 * shell_means(sums.denominator, shells) + 1e-9
    volume = wiener_volume(sums.numerator, sums.denominator, weak, radius)
    return volume_to_map(volume, box, grid)


def prior_of(sums: SliceSums, curve: ShellCurve) -> Float[Tensor, " s"]:
    """1/tau^2 = denominator / SSNR with SSNR = FSC / (1 - FSC) of one half (Scheres 2012)."""
    correlation = curve.values.float().clamp(1e-3, 0.9999)
    mean = shell_means(sums.denominator, len(curve))
    return mean * (1 - correlation) / correlation


def median_turn_degrees(before: Halves, after: Halves) -> float:
    """Median angle the poses of both halves turned by."""
    cosines = [
        (torch.einsum("nij,nij->n", b.rotations, a.rotations) - 1) / 2
        for b, a in zip(before, after, strict=True)
    ]
    return float(torch.rad2deg(torch.acos(torch.cat(cosines).clamp(-1, 1))).median())
