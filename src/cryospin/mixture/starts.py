"""Both half-sets in classes, each from nothing and independently, and paired.

Classes that both found alike at the poses of one map each, and that are different structures, are
what there is to find: half-sets that never met do not make the same mistake. Only without such
agreement are classes and poses searched for jointly, which takes several times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryospin.explore.setting import Setting
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.journal.tree import Tree
from cryospin.mixture.class_search import ClassSearch
from cryospin.mixture.classed_half import ClassedHalf, ClassedHalves, recalled_halves
from cryospin.mixture.distinct import compare_classes
from cryospin.mixture.image_search import ImageSearch
from cryospin.mixture.pairing import Paired, pair_classes
from cryospin.mixture.refinement import comparable_maps
from cryospin.particles.source import ParticleSource
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.ready import Prepared
from cryospin.reconstruct.starting import IndependentStarts
from cryospin.refine.halves import HalfSet

_MISSED = 2  # counts in a row, and there are no more


@dataclass(frozen=True)
class ClassedStarts:
    """The method: how one map is found, and how several are from it."""

    one: IndependentStarts
    search: ClassSearch

    def run(
        self,
        prepared: Prepared,
        counts: Sequence[int],
        classes: int,
        setting: Setting,
        monitor: Monitor,
        journal: Journal,
    ) -> Paired:
        """counts: of classes at common poses, tried one after the other until there are not so
        many different structures that half-sets find alike. A class too many would have several
        structures drawn into more than one class, each time others, so no more than are looked
        for are tried. classes: of the joint search, where no count will do."""
        run = _Run(self, prepared, setting, monitor, journal)
        consensus = run.consensus(1), run.consensus(2)
        found, missed = None, 0
        for count in counts:
            first, second = (run.at_common_poses(n, consensus[n - 1], count) for n in (1, 2))
            paired = run.paired((first, second), f"paired at common poses, {count}")
            if run.found_alike(paired):
                found, missed = paired, 0
            else:
                missed += 1
            if missed == _MISSED:
                break
        if found is not None:
            return found
        first, second = (run.jointly(n, consensus[n - 1], classes) for n in (1, 2))
        return run.paired((first, second), "paired")


@dataclass(frozen=True)
class _Run:
    """One run's circumstances; half-sets are counted from 1."""

    method: ClassedStarts
    prepared: Prepared
    setting: Setting
    monitor: Monitor
    journal: Journal

    def consensus(self, number: int) -> HalfSet:
        """All images as of one structure."""
        return self._alone(number, self.prepared[number - 1], self._part(number))

    def at_common_poses(self, number: int, consensus: HalfSet, classes: int) -> ClassedHalf:
        search, part = self._search(number), self._part(number).part(f"{classes} at once")
        with self.monitor.stage("classify"):
            found = self.method.search.at_common_poses(consensus, classes, search, part)
            self._told(number, found.half, at_common_poses=found.evidence)
        return self._recalled(number, found.half.tree)

    def jointly(self, number: int, consensus: HalfSet, classes: int) -> ClassedHalf:
        search, part = self._search(number), self._part(number)

        def alone(some: ParticleSource) -> HalfSet:
            return self._alone(number, some)

        def classify() -> Tree:
            alike = self.method.search.at_common_poses(consensus, classes, search, part)
            found, jointly = self.method.search.jointly(consensus, alike, search, alone, part)
            return found.half.tree, alike.evidence, jointly

        with self.monitor.stage("classify"):
            tree, at_common_poses, jointly = part.once("classified", classify)
            found = self._recalled(number, tree)
            self._told(number, found, at_common_poses=at_common_poses, jointly=jointly)
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

    def found_alike(self, paired: Paired) -> bool:
        """Whether the half-sets found all classes alike, and all are different structures."""
        least = self.method.one.agreement_radius
        radius = self.method.search.radius
        maps, reach = comparable_maps(paired.halves, radius, self.setting, least)
        likenesses = compare_classes(paired.halves, maps, reach)
        return min(paired.agreement) >= least and not any(each.same for each in likenesses)

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
            self.journal.may_end()

        radius = min(self.method.search.radius, self.prepared[0].disk.radius)
        return ImageSearch(radius, self.setting, self.method.one.assignment, told)
