"""Which image of a half-set shows which structure, and in which pose: from one map to several.

Two ways lead from a consensus to classes. Structures that share most of their mass have poses in
common, and their images are told apart at these. Unrelated ones have not: there a joint search over
classes and poses begins from nothing, coarse as it is and slow, and what it finds is then explored
class by class. On both, all images are searched for in all maps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from cryospin.explore.exploration import Explorer
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.journal.tree import Tree
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.mixture.image_search import ImageSearch
from cryospin.mixture.joint import JointSearch, PatientClasses
from cryospin.mixture.split import ClassSplit
from cryospin.mixture.winner_classes import WinnerClasses
from cryospin.particles.draws import generator_for
from cryospin.particles.source import ParticleSource
from cryospin.reconstruct.semi_amortised import SemiAmortised
from cryospin.refine.halves import HalfSet, refine_half

Alone = Callable[[ParticleSource, Journal], HalfSet]
"""Searches for the poses of images as of one structure, from nothing."""


@dataclass(frozen=True)
class ClassSearch:
    """Hyper-parameters; radii in Fourier pixels.

    joint: the search over poses and classes at once.
    radius: of the `ImageSearch`, within which all images are searched for in all maps.
    hold: nats that a joint search gives a class, at most, so that each gets as many images, until
        both half-sets are refined side by side.
    rounds, settled: after a joint search poses are polished in better maps, so many times at most,
        until fewer than this fraction of the images change class.
    fewest: images of a class that are explored alone.
    """

    split: ClassSplit = ClassSplit()
    joint: JointSearch = PatientClasses()
    radius: float = 12.0
    hold: float = 6.0
    rounds: int = 3
    settled: float = 0.02
    fewest: int = 100

    @classmethod
    def suiting(cls, explorer: Explorer) -> ClassSearch:
        """Whose joint search looks for poses as that explorer does."""
        if isinstance(explorer, SemiAmortised):
            return cls(joint=WinnerClasses(explorer))
        return cls()

    def at_common_poses(
        self, consensus: HalfSet, classes: int, search: ImageSearch, journal: Journal = UNRECORDED
    ) -> Searched:
        """Without a joint search."""
        inner, problem = self._problem(consensus, search, journal)

        def told(done: int, total: int) -> None:
            search.progress("split", done, total)

        def split() -> Searched:
            rng = generator_for(search.setting.seed, "classes")
            return problem.searched(self.split.run(inner, classes, search.setting, rng, told))

        return problem.once("at common poses", inner, split)

    def jointly(
        self,
        consensus: HalfSet,
        alike: Searched,
        search: ImageSearch,
        alone: Alone,
        journal: Journal = UNRECORDED,
    ) -> Searched:
        """From nothing, or as found at common poses, `alike`: whichever explains the images
        better."""
        inner, problem = self._problem(consensus, search, journal, self.hold)

        def from_nothing() -> Searched:
            return problem.polished(self.joint.run(inner, alike.half.classes, search))

        unlike = problem.once("jointly", inner, from_nothing)

        def finer() -> Searched:
            return problem.at_rest(problem.searched(unlike.half))

        if unlike.evidence > alike.evidence:  # although its poses are of coarser maps
            found = problem.once("finer", inner, finer)
            if found.evidence > alike.evidence:
                better = problem.once("each alone", inner, lambda: problem.each_alone(found, alone))
                return replace(better, jointly=True)
        return problem.once("polished", inner, lambda: replace(problem, hold=0.0).at_rest(alike))

    def _problem(
        self, consensus: HalfSet, search: ImageSearch, journal: Journal, hold: float = 0.0
    ) -> tuple[HalfSet, _Problem]:
        """Of the half-set without what lies beyond, which takes time to copy and is not looked
        at."""
        reach = min(search.radius + 1, consensus.particles.disk.radius)
        inner = replace(consensus, particles=consensus.particles.within(reach))
        return inner, _Problem(self, search, journal, hold)


@dataclass(frozen=True)
class Searched:
    """A half-set in classes. evidence: mean log evidence of an image. changed: fraction of the
    images whose class did. jointly: whether poses are none of those common to all classes."""

    half: ClassedHalf
    evidence: float
    changed: float
    jointly: bool = False


@dataclass(frozen=True)
class _Problem:
    method: ClassSearch
    search: ImageSearch
    journal: Journal = UNRECORDED
    hold: float = 0.0

    def searched(self, classed: ClassedHalf) -> Searched:
        """All images searched for in all maps, and told apart at the poses found."""
        placed = self.search.placed(classed.sets[0], self.search.volumes(classed))
        return self._settled(classed, placed)

    def polished(self, classed: ClassedHalf) -> Searched:
        """All images moved to the poses nearby that suit them best, and told apart at these."""
        return self._settled(classed, self._polished(classed))

    def _polished(self, classed: ClassedHalf) -> ClassedHalf:
        radius, polish = self.search.radius, self.search.assignment.polish
        densities = classed.densities(radius, self.search.setting)
        sets = tuple(
            refine_half(half, density, radius, polish)
            for half, density in zip(classed.sets, densities, strict=True)
        )
        return replace(classed, sets=sets)

    def at_rest(self, found: Searched) -> Searched:
        """Polished until next to no image changes class any more."""
        for _ in range(self.method.rounds - 1):
            if found.changed < self.method.settled:
                break
            found = self.polished(found.half)
        return found

    def each_alone(self, found: Searched, alone: Alone) -> Searched:
        """Each class's images explored as if there were no other, and all images searched for in
        the maps that explain their own better.

        Amidst the others a class may have settled in poses that no small step leads out of; its
        map then explains its images worse than that of another structure does.
        """
        half = found.half
        volumes = self.search.volumes(half)
        for number in range(half.classes):
            self.search.progress("explore each alone", number + 1, half.classes)
            members = half.members(number)
            if len(members.particles) >= self.method.fewest:
                journal = self.journal.part(f"class {number + 1} alone")
                better = self._better(members, alone(members.particles, journal))
                volumes[number] = self.search.volume_of(better)
        placed = self.search.placed(half.sets[0], volumes)
        again = self.at_rest(self._settled(half, placed))
        return max(found, again, key=lambda each: each.evidence)

    def _better(self, *ways: HalfSet) -> HalfSet:
        """The poses, polished, in whose map the images fit better."""
        ends = [self._moved(self._moved(each)) for each in ways]
        return min(ends, key=lambda each: float(each.poses.loss.mean()))

    def _moved(self, half: HalfSet) -> HalfSet:
        """To the poses nearby that suit the images best in their own map."""
        return self._polished(ClassedHalf.of_one(half)).sets[0]

    def once(self, name: str, half: HalfSet, make: Callable[[], Searched]) -> Searched:
        """What is made now, or was before the run was cut off."""

        def tree() -> Tree:
            found = make()
            return found.half.tree, found.evidence, found.changed

        classed, evidence, changed = self.journal.once(name, tree)
        return Searched(ClassedHalf.recalled(half.particles, classed), evidence, changed)

    def _settled(self, before: ClassedHalf, moved: ClassedHalf) -> Searched:
        """At new poses, and how many changed class."""
        found, evidence = self.method.split.settle(
            moved, self.search.radius, self.search.setting, hold=self.hold
        )
        changed = float((found.numbers != before.numbers).double().mean())
        return Searched(found, evidence, changed)
