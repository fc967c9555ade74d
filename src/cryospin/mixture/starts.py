"""Both half-sets in classes, each from nothing and independently, and paired.

Classes that both found alike at the poses of one map each, and that are different structures, are
what there is to find: half-sets that never met do not make the same mistake. Only without such
agreement are classes and poses searched for jointly, which takes several times as long.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cryospin.explore.setting import Setting
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.journal.tree import Tree
from cryospin.mixture.class_search import ClassSearch, Searched
from cryospin.mixture.classed_half import ClassedHalf, ClassedHalves, recalled_halves
from cryospin.mixture.distinct import compare_classes, several_told_apart
from cryospin.mixture.image_search import ImageSearch
from cryospin.mixture.pairing import Paired, pair_classes
from cryospin.mixture.refinement import comparable_maps
from cryospin.particles.source import ParticleSource
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.ready import Prepared
from cryospin.reconstruct.starting import IndependentStarts
from cryospin.refine.halves import HalfSet


@dataclass(frozen=True)
class ClassedStarts:
    """The method: how one map is found, and how several are from it."""

    one: IndependentStarts
    search: ClassSearch

    def run(
        self,
        prepared: Prepared,
        classes: int,
        wanted: int,
        setting: Setting,
        monitor: Monitor,
        journal: Journal,
    ) -> Paired:
        """wanted: so many different structures, found alike, are enough; `classes`, as many or
        more, are searched for."""
        run = _Run(self, prepared, classes, setting, monitor, journal)
        halves = [(number, run.consensus(number)) for number in (1, 2)]
        first, second = (run.at_common_poses(*half) for half in halves)
        paired = run.paired((first.half, second.half), "paired at common poses")
        if run.found_alike(paired, wanted):
            return paired
        one, other = (
            run.jointly(*half, alike) for half, alike in zip(halves, (first, second), strict=True)
        )
        return run.paired((one, other), "paired")


@dataclass(frozen=True)
class _Run:
    """One run's circumstances; half-sets are counted from 1."""

    method: ClassedStarts
    prepared: Prepared
    classes: int
    setting: Setting
    monitor: Monitor
    journal: Journal

    def consensus(self, number: int) -> HalfSet:
        """All images as of one structure."""
        return self._alone(number, self.prepared[number - 1], self._part(number))

    def at_common_poses(self, number: int, consensus: HalfSet) -> Searched:
        search, part = self._search(number), self._part(number)
        with self.monitor.stage("classify"):
            found = self.method.search.at_common_poses(consensus, self.classes, search, part)
            self._told(number, found.half, at_common_poses=found.evidence)
        return replace(found, half=self._recalled(number, found.half.tree))

    def jointly(self, number: int, consensus: HalfSet, alike: Searched) -> ClassedHalf:
        search, part = self._search(number), self._part(number)

        def alone(some: ParticleSource) -> HalfSet:
            return self._alone(number, some)

        def classify() -> Tree:
            found, evidence = self.method.search.jointly(consensus, alike, search, alone, part)
            return found.half.tree, evidence

        with self.monitor.stage("classify"):
            tree, evidence = part.once("classified", classify)
            found = self._recalled(number, tree)
            self._told(number, found, at_common_poses=alike.evidence, jointly=evidence)
        return found

    def paired(self, halves: ClassedHalves, name: str) -> Paired:
        def pair() -> Tree:
            paired = pair_classes(halves, self._images("pairs"))
            return [half.tree for half in paired.halves], paired.agreement

        with self.monitor.stage("join"):
            trees, agreement = self.journal.once(name, pair)
            found = recalled_halves(self.prepared, trees)
            self.monitor.log(
                event="paired",
                agreement_radius=max(agreement),
                each=list(agreement),
                fractions=[half.fractions.tolist() for half in found],
            )
        return Paired(found, tuple(agreement))

    def found_alike(self, paired: Paired, wanted: int) -> bool:
        """Whether the half-sets found so many classes alike that are different structures."""
        least = self.method.one.agreement_radius
        radius = self.method.search.radius
        maps, reach = comparable_maps(paired.halves, radius, self.setting, least)
        likenesses = compare_classes(paired.halves, maps, reach)
        return several_told_apart(likenesses, paired.agreement, least, wanted)

    def _alone(
        self, number: int, particles: ParticleSource, journal: Journal = UNRECORDED
    ) -> HalfSet:
        return self.method.one.alone(particles, number, self.setting, self.monitor, journal)

    def _part(self, number: int) -> Journal:
        return self.journal.part(f"classes{number}")

    def _recalled(self, number: int, tree: Tree) -> ClassedHalf:
        return ClassedHalf.recalled(self.prepared[number - 1], tree)

    def _told(self, number: int, found: ClassedHalf, **evidence: float) -> None:
        fractions = found.fractions.tolist()
        self.monitor.log(event="classified", half=number, fractions=fractions, **evidence)

    def _search(self, number: int) -> ImageSearch:
        """With chances of the half-set's own."""
        return self._images(f"classes of half-set {number}").seeded(self.setting.seed * 10 + number)

    def _images(self, what: str) -> ImageSearch:
        """Told of as a part of `what`."""

        def told(label: str, done: int, total: int) -> None:
            self.monitor.progress(f"{what}: {label}", done, total)

        radius = min(self.method.search.radius, self.prepared[0].disk.radius)
        return ImageSearch(radius, self.setting, self.method.one.assignment, told)
