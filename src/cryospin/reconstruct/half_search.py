"""One half-set alone: a map of it from nothing, and its particles' poses in a map."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from jaxtyping import Complex
from torch import Tensor

from cryospin.explore.exploration import Exploration, Explorer, Look
from cryospin.explore.setting import Setting
from cryospin.journal.journal import Journal
from cryospin.kernels import OVERSAMPLING
from cryospin.particles.source import ParticleSource
from cryospin.particles.spectrum import prior_precision
from cryospin.poses import Assignment, PoseHypotheses
from cryospin.reconstruct.exploration_report import StartReport
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.rivals import report_starts
from cryospin.refine.assign import GlobalAssignment, PolishedHypotheses
from cryospin.refine.halves import HalfSet, sums_of
from cryospin.volumes.gridded import SliceSums, map_of, map_to_volume, support_sphere


@dataclass(frozen=True)
class Explored:
    """An exploration of a half-set, the poses it led to, and its starts."""

    exploration: Exploration
    poses: Assignment
    starts: tuple[StartReport, ...]

    @property
    def score(self) -> float:
        return self.exploration.score


@dataclass(frozen=True)
class HalfSearch:
    """How the poses of a half-set, by its number, are found, and where that is told and kept.

    search, assignment, choice: as `starting.IndependentStarts` has them.
    """

    search: Explorer
    assignment: GlobalAssignment
    choice: PolishedHypotheses
    setting: Setting
    monitor: Monitor
    journal: Journal

    def run(
        self,
        particles: ParticleSource,
        half: int,
        attempt: int,
        exploration: Exploration | None = None,
    ) -> Explored:
        """Poses from the best start's map; exploration: where there has been one."""
        if exploration is None:
            with self.monitor.stage("explore"):
                exploration = self.explore(particles, half, attempt)
        support = self.setting.support_radius
        starts = report_starts(exploration, particles, support, attempt + 1)
        with self.monitor.stage("assign"):
            radius, journal = exploration.radius, self._attempt(half, attempt)
            volume = self._volume(exploration.sums, radius, particles)
            found = self._assigned(volume, radius, particles, half, journal, exploration.hypotheses)
        return Explored(exploration, found, starts)

    def log(self, explored: Explored, half: int) -> Explored:
        """Tell how the starts went."""
        found = explored.exploration
        self.monitor.log(event="explored", half=half, scores=found.scores, rising=found.rising)
        return explored

    def explore(self, particles: ParticleSource, half: int, attempt: int) -> Exploration:
        """A map from nothing."""
        journal = self._attempt(half, attempt)
        explore = partial(
            self.search.run,
            particles,
            self.setting.of_start(half, attempt),
            partial(self._exploring, half, attempt),
            journal.part("explore"),
        )
        return journal.once("explored", explore)

    def poses_in(
        self, volume: Complex[Tensor, "z y x"], radius: float, particles: ParticleSource, half: int
    ) -> Assignment:
        """The best poses in a map that reaches to `radius`, whatever they were."""
        return self._assigned(volume, radius, particles, half, self.journal.part(f"half{half}"))

    def last_radius(self, particles: ParticleSource) -> float:
        """Fourier pixels out to which a map is found."""
        return min(self.search.last_radius, particles.disk.radius)

    def volume_of(self, half: HalfSet) -> Complex[Tensor, "z y x"]:
        """Of the map that its particles make at their poses, to the last radius."""
        radius = self.last_radius(half.particles)
        sums = sums_of(half, radius, self.setting.operators)
        return self._volume(sums, radius, half.particles)

    def _volume(
        self, sums: SliceSums, radius: float, particles: ParticleSource
    ) -> Complex[Tensor, "z y x"]:
        fraction = self.setting.support_radius
        support = support_sphere(particles.disk.box, radius, fraction, particles.device)
        density = map_of(sums, prior_precision(particles), radius, particles.disk.box, support)
        return map_to_volume(density, particles.disk.box, radius)

    def _assigned(
        self,
        volume: Complex[Tensor, "z y x"],
        radius: float,
        particles: ParticleSource,
        half: int,
        journal: Journal,
        hypotheses: PoseHypotheses | None = None,
    ) -> Assignment:
        # to the edge of the grid's last voxel
        reach = math.ceil(OVERSAMPLING * radius) / OVERSAMPLING

        def progress(done: int, total: int) -> None:
            self.monitor.progress(f"assign half-set {half}", done, total)

        def assign() -> Assignment:
            given = volume, particles, reach, self.setting
            watched = progress, journal.part("assign")
            if hypotheses is None:
                return self.assignment.run(*given, *watched)
            return self.choice.run(*given, hypotheses, *watched)

        found = journal.once("assigned", assign)
        self.monitor.show("views", half, lambda: found.rotations)
        return found

    def _attempt(self, half: int, attempt: int) -> Journal:
        return self.journal.part(f"half{half}").part(f"attempt{attempt + 1}")

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
