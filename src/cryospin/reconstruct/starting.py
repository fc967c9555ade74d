"""Poses for both half-sets, each from random starts of its own, in one frame.

Two maps found independently that agree are the strongest evidence there is that both are
right; where they do not agree, the half that explains its images worse is explored again. So is
a half whose images the other half's map explains clearly better than their own does: a start may
end near the solution with part of the particles in wrong places. A half of which two starts
ended at the same evidence is at its end: another start would find the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.explore.exploration import Exploration, Explorer, Look, same_end
from cryospin.explore.setting import Setting
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.journal.ranks import count, of_halves
from cryospin.kernels import OVERSAMPLING
from cryospin.parallel import together
from cryospin.particles.draws import generator_for
from cryospin.particles.source import ParticleSource
from cryospin.particles.spectrum import signal_power
from cryospin.reconstruct.cross_check import gain_elsewhere
from cryospin.reconstruct.exploration_report import ExplorationReport, StartReport
from cryospin.reconstruct.joining import superimposed
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.refinement import Halves
from cryospin.reconstruct.rivals import report_starts
from cryospin.refine.assign import GlobalAssignment, PolishedHypotheses
from cryospin.refine.halves import HalfSet, map_of, sums_of
from cryospin.types import DensityMap, PoseHypotheses
from cryospin.volumes.gridded import SliceSums, map_to_volume, support_sphere
from cryospin.volumes.initial import initial_volume

# errors of a mean over images: two searches that end at the same map differ by about one
_FAR = 3.0


@dataclass(frozen=True)
class IndependentStarts:
    """How the half-sets are explored, and how often they may start over.

    assignment: finds poses in a map, where an explorer leaves all of them open.
    choice: finds them among an explorer's hypotheses.
    attempts: explorations before giving up: both halves, then always the worse half.
    tried_without: operators of a group at most that is also tried without: a small one, imposed
        from the start, may lead to a wrong map of that symmetry; a large one is hard to find
        where it is not imposed.
    agreement_radius: Fourier pixels to which independent maps must share FSC 0.5.
    misplaced: share by which the other half's map may explain a half's median image better than
        its own (`cross_check.gain_elsewhere`). Set on one run (3JB9, shifts), whose refinement
        mended a half at 0.2 %; one at 1.4 % (2CG9) it did not mend.
    """

    search: Explorer
    assignment: GlobalAssignment
    choice: PolishedHypotheses = PolishedHypotheses()
    attempts: int = 4
    tried_without: int = 1
    agreement_radius: float = 8.0
    misplaced: float = 0.005

    def run(
        self,
        prepared: tuple[ParticleSource, ParticleSource],
        setting: Setting,
        monitor: Monitor,
        journal: Journal = UNRECORDED,
    ) -> tuple[Halves, ExplorationReport]:
        """Both halves with poses in one frame, and how exploration went."""
        return _Run(self, setting, monitor, journal).from_nothing(prepared)

    def from_map(
        self,
        density: DensityMap,
        lowpass_angstrom: float,
        prepared: tuple[ParticleSource, ParticleSource],
        setting: Setting,
        monitor: Monitor,
        journal: Journal = UNRECORDED,
    ) -> tuple[Halves, ExplorationReport]:
        """The same from a map that is given, low-passed: nothing is explored."""
        run = _Run(self, setting, monitor, journal)

        def assigned(number: int) -> Assigned:
            particles = prepared[number]
            volume = initial_volume(density, lowpass_angstrom, particles)
            part = journal.part(f"half{number + 1}")
            return run._assigned(particles, volume, None, number + 1, part)

        with monitor.stage("assign"):
            first, second = of_halves(assigned)
        halves = HalfSet(prepared[0], *first), HalfSet(prepared[1], *second)
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
        run = _Run(self, setting, monitor, journal)
        explored = run._logged(run._settled(particles, half, 0), half)
        return HalfSet(particles, *explored.poses)

    def better_without(
        self,
        prepared: tuple[ParticleSource, ParticleSource],
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
        run = _Run(self, setting.asymmetric(), monitor, journal)

        def gain(half: int) -> tuple[float, float]:
            """Mean over the same images, and its error."""
            with monitor.stage("explore"):
                found = run._explore(prepared[half], half + 1, 0).evidence
            before = explored.evidence[half]
            if found is None or before is None:
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
        run = _Run(self, setting, monitor, journal)
        radius = run._searched_radius(halves)

        def again(number: int) -> Assigned:
            half = halves[number]
            sums = sums_of(half, radius, setting.operators)
            volume = run._volume(sums, radius, half.particles)
            part = journal.part(f"half{number + 1}")
            return run._assigned(half.particles, volume, None, number + 1, part)

        with monitor.stage("assign"):
            first, second = of_halves(again)
        return HalfSet(halves[0].particles, *first), HalfSet(halves[1].particles, *second)


Assigned = tuple[Float[Tensor, "n 3 3"], Float[Tensor, "n 2"], Float[Tensor, " n"]]
"""Rotations, shifts in pixels, and each pose's weight among its rivals."""


@dataclass(frozen=True)
class _Explored:
    """An exploration of a half-set, the poses it led to, and its starts."""

    exploration: Exploration
    poses: Assigned
    starts: tuple[StartReport, ...]


@dataclass(frozen=True)
class _Run:
    """One run's circumstances, for what may start over."""

    method: IndependentStarts
    setting: Setting
    monitor: Monitor
    journal: Journal

    def from_nothing(
        self, prepared: tuple[ParticleSource, ParticleSource]
    ) -> tuple[Halves, ExplorationReport]:
        kept = self._both_explored(prepared)
        starts = [explored.starts for explored in kept]
        halves, agreement = self._joined(prepared, kept, 0)
        at_their_end: set[int] = set()
        for attempt in range(1, self.method.attempts):
            if agreement >= self.method.agreement_radius:
                worse = self._misplaced(halves)
            else:
                worse = int(kept[1].exploration.score < kept[0].exploration.score)
                worse = 1 - worse if worse in at_their_end else worse
            if worse is None or worse in at_their_end:
                break
            again, before = self._explored(prepared, worse, attempt), kept[worse]
            starts[worse] += again.starts
            if same_end(again.exploration, before.exploration):
                at_their_end.add(worse)
            if again.exploration.score <= before.exploration.score:
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
        radius = self._searched_radius(halves)

        def volume(number: int) -> Tensor:
            half = halves[number]
            sums = sums_of(half, radius, self.setting.operators)
            return self._volume(sums, radius, half.particles)

        volumes = of_halves(volume)

        def gain(number: int) -> float:
            rng = generator_for(self.setting.seed, "gain elsewhere", number)
            own, other = volumes[number], volumes[1 - number]
            return gain_elsewhere(halves[number], own, other, radius, rng)

        gains = of_halves(gain)
        self.monitor.log(event="compared", gain_elsewhere=gains)
        return int(np.argmax(gains)) if max(gains) > self.method.misplaced else None

    def _both_explored(self, prepared: tuple[ParticleSource, ParticleSource]) -> list[_Explored]:
        explorations: list[Exploration | None] = [None, None]
        if self.method.search.one_thread and count() == 1:
            with self.monitor.stage("explore"):
                # torch loads a card's solvers at first use, which two threads must not do at once
                one = torch.eye(2, device=prepared[0].device)
                torch.linalg.solve_ex(one, one)
                jobs = [partial(self._explore, p, half, 0) for half, p in enumerate(prepared, 1)]
                explorations = [*together(jobs)]

        def settled(half: int) -> _Explored:
            return self._settled(prepared[half], half + 1, 0, explorations[half])

        return [self._logged(found, half) for half, found in enumerate(of_halves(settled), 1)]

    def _explored(
        self, prepared: tuple[ParticleSource, ParticleSource], half: int, attempt: int
    ) -> _Explored:
        def settled(half: int) -> _Explored:
            return self._settled(prepared[half], half + 1, attempt)

        (explored,) = of_halves(settled, (half,))
        return self._logged(explored, half + 1)

    def _settled(
        self,
        particles: ParticleSource,
        half: int,
        attempt: int,
        exploration: Exploration | None = None,
    ) -> _Explored:
        """Poses from the best start's map; exploration: where there has been one."""
        if exploration is None:
            with self.monitor.stage("explore"):
                exploration = self._explore(particles, half, attempt)
        support = self.setting.support_radius
        starts = report_starts(exploration, particles, support, attempt + 1)
        with self.monitor.stage("assign"):
            volume = self._volume(exploration.sums, exploration.radius, particles)
            journal = self._journal(half, attempt)
            found = self._assigned(particles, volume, exploration.hypotheses, half, journal)
        return _Explored(exploration, found, starts)

    def _logged(self, explored: _Explored, half: int) -> _Explored:
        found = explored.exploration
        self.monitor.log(event="explored", half=half, scores=found.scores, rising=found.rising)
        return explored

    def _journal(self, half: int, attempt: int) -> Journal:
        return self.journal.part(f"half{half}").part(f"attempt{attempt + 1}")

    def _explore(self, particles: ParticleSource, half: int, attempt: int) -> Exploration:
        journal = self._journal(half, attempt)
        explore = partial(
            self.method.search.run,
            particles,
            self.setting.of_start(half, attempt),
            partial(self._exploring, half, attempt),
            journal.part("explore"),
        )
        return journal.once("explored", explore)

    def _exploring(
        self,
        half: int,
        attempt: int,
        label: str,
        done: int,
        total: int,
        look: Look | None = None,
    ) -> None:
        """Progress of a half's exploration."""
        again = f", attempt {attempt + 1}" if attempt else ""
        self.monitor.progress(f"explore half-set {half}{again}", done, total)
        if look is not None:
            self.monitor.show("map", half, look)

    def _searched_radius(self, halves: Halves) -> float:
        return min(self.method.search.last_radius, halves[0].particles.disk.radius)

    def _volume(self, sums: SliceSums, radius: float, particles: ParticleSource) -> Tensor:
        fraction = self.setting.support_radius
        support = support_sphere(particles.disk.box, radius, fraction, particles.device)
        precision = 1.0 / signal_power(particles)
        density = map_of(sums, precision, radius, particles.disk.box, support)
        return map_to_volume(density, particles.disk.box, radius)

    def _assigned(
        self,
        particles: ParticleSource,
        volume: Tensor,
        hypotheses: PoseHypotheses | None,
        half: int,
        journal: Journal,
    ) -> Assigned:
        radius = (volume.shape[-1] - 2) / OVERSAMPLING

        def progress(done: int, total: int) -> None:
            self.monitor.progress(f"assign half-set {half}", done, total)

        def assign() -> tuple[Tensor, Tensor, Tensor]:
            given = volume, particles, radius, self.setting
            watched = progress, journal.part("assign")
            if hypotheses is None:
                poses, weight = self.method.assignment.run(*given, *watched)
            else:
                poses, weight = self.method.choice.run(*given, hypotheses, *watched)
            return poses.rotations, poses.shifts_pixel, weight

        found: Assigned = journal.once("assigned", assign)
        self.monitor.show("views", half, lambda: found[0])
        return found

    def _joined(
        self,
        prepared: tuple[ParticleSource, ParticleSource],
        explored: list[_Explored],
        attempt: int,
    ) -> tuple[Halves, float]:
        """Half 2 moved into the frame of half 1, and the radius to which the maps agree."""
        halves = HalfSet(prepared[0], *explored[0].poses), HalfSet(prepared[1], *explored[1].poses)

        def join() -> tuple[Tensor, Tensor, float]:
            radius = self._searched_radius(halves)
            second, agreement = superimposed(halves, radius, self.setting)
            return second.rotations, second.shifts_pixel, agreement

        with self.monitor.stage("join"):
            rotations, shifts, agreement = self.journal.once(f"joined{attempt + 1}", join)
            self.monitor.log(event="joined", agreement_radius=agreement)
        second = replace(halves[1], rotations=rotations, shifts_pixel=shifts)
        return (halves[0], second), agreement
