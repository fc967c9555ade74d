"""Poses for both half-sets, each from random starts of its own, in one frame.

Two maps found independently that agree are the strongest evidence there is that both are
right; where they do not agree, the half that explains its images worse is explored again. So is
a half whose images the other half's map explains clearly better than their own does: a start may
end near the solution with part of the particles in wrong places. And so is a half whose held-out
images are explained clearly worse than the other's. A half of which two starts ended at the same
evidence is at its end: another start would find the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from cryospin.explore.exploration import Exploration, Explorer, same_end
from cryospin.explore.setting import Setting
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.journal.ranks import count, of_halves
from cryospin.parallel import together
from cryospin.particles.draws import generator_for
from cryospin.particles.source import ParticleSource
from cryospin.poses import Assignment
from cryospin.reconstruct.cross_check import gain_elsewhere
from cryospin.reconstruct.exploration_report import ExplorationReport
from cryospin.reconstruct.half_search import Explored, HalfSearch
from cryospin.reconstruct.joining import superimposed
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.ready import Prepared
from cryospin.reconstruct.refinement import Halves
from cryospin.refine.assign import GlobalAssignment, PolishedHypotheses
from cryospin.refine.halves import HalfSet
from cryospin.types import DensityMap
from cryospin.volumes.initial import initial_volume

# errors of a mean over images: two searches that end at the same map differ by about one
_FAR = 3.0
_BEHIND = 2.0  # one look more than needed, in one of twenty runs, costs little


@dataclass(frozen=True)
class IndependentStarts:
    """How the half-sets are explored, and how often they may start over.

    assignment: finds poses in a map, where an explorer leaves all of them open.
    choice: finds them among an explorer's hypotheses.
    attempts: explorations before giving up: both halves, then always the worse half.
    tried_without: whether a start is also made without the symmetry that was asked for: imposed
        from the start, it may lead to a wrong map that has it.
    agreement_radius: Fourier pixels to which independent maps must share FSC 0.5.
    misplaced: share by which the other half's map may explain a half's median image better than
        its own (`cross_check.gain_elsewhere`). Set on one run (3JB9, shifts), whose refinement
        mended a half at 0.2 %; one at 1.4 % (2CG9) it did not mend.
    """

    search: Explorer
    assignment: GlobalAssignment
    choice: PolishedHypotheses = PolishedHypotheses()
    attempts: int = 4
    tried_without: bool = False
    agreement_radius: float = 8.0
    misplaced: float = 0.005

    def run(
        self,
        prepared: Prepared,
        setting: Setting,
        monitor: Monitor,
        journal: Journal = UNRECORDED,
    ) -> tuple[Halves, ExplorationReport]:
        """Both halves with poses in one frame, and how exploration went."""
        return _Run(self, self._of_halves(setting, monitor, journal)).result(prepared)

    def from_map(
        self,
        density: DensityMap,
        lowpass_angstrom: float,
        prepared: Prepared,
        setting: Setting,
        monitor: Monitor,
        journal: Journal = UNRECORDED,
    ) -> tuple[Halves, ExplorationReport]:
        """The same from a map that is given, low-passed: nothing is explored."""
        search = self._of_halves(setting, monitor, journal)

        def assigned(number: int) -> Assignment:
            particles = prepared[number]
            volume, radius = initial_volume(density, lowpass_angstrom, particles)
            return search.poses_in(volume, radius, particles, number + 1)

        with monitor.stage("assign"):
            first, second = of_halves(assigned)
        halves = HalfSet(prepared[0], first), HalfSet(prepared[1], second)
        return halves, ExplorationReport(agreed=True, from_a_map=True)

    def alone(
        self,
        particles: ParticleSource,
        half: int,
        setting: Setting,
        monitor: Monitor,
        journal: Journal = UNRECORDED,
    ) -> HalfSet:
        """One half-set with poses from a random start of its own, whatever the other finds."""
        search = self._of_halves(setting, monitor, journal)
        return HalfSet(particles, search.log(search.run(particles, half, 0), half).poses)

    def better_without(
        self,
        prepared: Prepared,
        explored: ExplorationReport,
        setting: Setting,
        monitor: Monitor,
        journal: Journal = UNRECORDED,
    ) -> bool:
        """Whether held-out images of either half are explained better, by far more than the error,
        by a map that was found without the group that `explored` imposed.

        A map that has the group anyway is explained as well with it: images that fit better
        without say that the group was imposed on a wrong map, or is none of the particle's.
        """
        search = self._of_halves(setting.asymmetric(), monitor, journal)

        def gain(half: int) -> tuple[float, float]:
            """Mean over the same images, and its error."""
            before = explored.evidence[half]
            if before is None:
                return 0.0, 0.0
            with monitor.stage("explore"):
                found = search.explore(prepared[half], half + 1, 0).evidence
            if found is None:
                return 0.0, 0.0
            each = found - before
            return float(each.mean()), float(each.std() / len(each) ** 0.5)

        gains = of_halves(gain)
        monitor.log(event="without the group", gains=gains)
        return any(gain > _FAR * error for gain, error in gains)

    def searched_again(
        self,
        halves: Halves,
        setting: Setting,
        monitor: Monitor,
        journal: Journal = UNRECORDED,
    ) -> Halves:
        """Halves in the axes of a group, their poses searched for anew in their own maps with the
        group imposed."""
        search = self._of_halves(setting, monitor, journal)

        def again(number: int) -> Assignment:
            half = halves[number]
            radius = search.last_radius(half.particles)
            return search.poses_in(search.volume_of(half), radius, half.particles, number + 1)

        with monitor.stage("assign"):
            first, second = of_halves(again)
        return HalfSet(halves[0].particles, first), HalfSet(halves[1].particles, second)

    def _of_halves(self, setting: Setting, monitor: Monitor, journal: Journal) -> HalfSearch:
        return HalfSearch(self.search, self.assignment, self.choice, setting, monitor, journal)


@dataclass(frozen=True)
class _Run:
    """One run's circumstances, for what may start over."""

    method: IndependentStarts
    search: HalfSearch

    def result(self, prepared: Prepared) -> tuple[Halves, ExplorationReport]:
        kept = self._both_explored(prepared)
        starts = [explored.starts for explored in kept]
        halves, agreement = self._joined(prepared, kept, 0)
        at_their_end: set[int] = set()
        for attempt in range(1, self.method.attempts):
            if agreement >= self.method.agreement_radius:
                worse = self._misplaced(halves)
                behind = worse is None
                worse = self._behind(kept) if behind else worse
            else:
                behind = False
                worse = int(kept[1].score < kept[0].score)
                worse = 1 - worse if worse in at_their_end else worse
            if worse is None or worse in at_their_end:
                break
            again, before = self._explored(prepared, worse, attempt), kept[worse]
            starts[worse] += again.starts
            as_before = again.score <= before.score
            if (behind and as_before) or same_end(again.exploration, before.exploration):
                at_their_end.add(worse)
            if as_before:
                continue
            tried = [*kept]
            tried[worse] = again
            found, agrees = self._joined(prepared, tried, attempt)
            # a pair that agrees is not given up for one that agrees less
            if agrees >= min(agreement, self.method.agreement_radius):
                kept, halves, agreement = tried, found, agrees
        return halves, ExplorationReport(
            agreed=agreement >= self.method.agreement_radius,
            agreement_radius=agreement,
            half1=starts[0],
            half2=starts[1],
            still_rising=sum(explored.exploration.rising is True for explored in kept),
            evidence=(kept[0].exploration.evidence, kept[1].exploration.evidence),
        )

    def _misplaced(self, halves: Halves) -> int | None:
        """The half, if any, whose images the other half's map explains clearly better than its
        own does; the halves are in one frame."""
        radius = self.search.last_radius(halves[0].particles)
        volumes = of_halves(lambda number: self.search.volume_of(halves[number]))

        def gain(number: int) -> float:
            rng = generator_for(self.search.setting.seed, "gain elsewhere", number)
            own, other = volumes[number], volumes[1 - number]
            return gain_elsewhere(halves[number], own, other, radius, rng)

        gains = of_halves(gain)
        self.search.monitor.log(event="compared", gain_elsewhere=gains)
        return int(np.argmax(gains)) if max(gains) > self.method.misplaced else None

    def _behind(self, kept: list[Explored]) -> int | None:
        """The half, if any, whose held-out images are explained worse than the other's, by more
        than the error: halves are drawn alike, so its search ended short of what there is to find.
        """
        one, other = (explored.exploration for explored in kept)
        if one.evidence is None or other.evidence is None or one.radius != other.radius:
            return None
        gap = float(one.evidence.mean() - other.evidence.mean())
        error = float(sum(e.var() / len(e) for e in (one.evidence, other.evidence))) ** 0.5
        self.search.monitor.log(event="evidence", gap=gap, error=error)
        return None if abs(gap) <= _BEHIND * error else int(gap > 0)

    def _both_explored(self, prepared: Prepared) -> list[Explored]:
        search = self.search
        explorations: list[Exploration | None] = [None, None]
        if search.search.one_thread and count() == 1:
            with search.monitor.stage("explore"):
                # torch loads a card's solvers at first use, which two threads must not do at once
                one = torch.eye(2, device=prepared[0].device)
                torch.linalg.solve_ex(one, one)
                jobs = [partial(search.explore, p, half, 0) for half, p in enumerate(prepared, 1)]
                explorations = [*together(jobs)]

        def settled(half: int) -> Explored:
            return search.run(prepared[half], half + 1, 0, explorations[half])

        return [search.log(found, half) for half, found in enumerate(of_halves(settled), 1)]

    def _explored(self, prepared: Prepared, half: int, attempt: int) -> Explored:
        def settled(half: int) -> Explored:
            return self.search.run(prepared[half], half + 1, attempt)

        (explored,) = of_halves(settled, (half,))
        return self.search.log(explored, half + 1)

    def _joined(
        self, prepared: Prepared, explored: list[Explored], attempt: int
    ) -> tuple[Halves, float]:
        """Half 2 moved into the frame of half 1, and the radius to which the maps agree."""
        halves = HalfSet(prepared[0], explored[0].poses), HalfSet(prepared[1], explored[1].poses)
        search = self.search

        def join() -> tuple[Assignment, float]:
            radius = search.last_radius(halves[0].particles)
            second, agreement = superimposed(halves, radius, search.setting)
            return second.poses, agreement

        with search.monitor.stage("join"):
            poses, agreement = search.journal.once(f"joined{attempt + 1}", join)
            search.monitor.log(event="joined", agreement_radius=agreement)
        return (halves[0], HalfSet(prepared[1], poses)), agreement
