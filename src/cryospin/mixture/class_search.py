"""Which image of a half-set shows which structure, and in which pose: from one map to several.

Two ways lead from a consensus to classes. Structures that share most of their mass have poses in
common, and their images are told apart at these. Unrelated ones have not: there a joint search over
classes and poses begins from nothing, coarse as it is and slow. On both, all images are searched
for in all maps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from cryospin.explore.exploration import Explorer
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.journal.tree import Tree
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.mixture.image_search import ImageSearch
from cryospin.mixture.joint import JointSearch, PatientClasses
from cryospin.mixture.regroup import Alone, Regrouping
from cryospin.mixture.split import ClassSplit
from cryospin.mixture.winner_classes import WinnerClasses
from cryospin.particles.draws import generator_for
from cryospin.reconstruct.semi_amortised import SemiAmortised
from cryospin.refine.halves import HalfSet, refine_half


@dataclass(frozen=True)
class ClassSearch:
    """Hyper-parameters; radii in Fourier pixels.

    joint: the search over poses and classes at once.
    radius: of the `ImageSearch`, within which all images are searched for in all maps.
    rounds, settled: after a joint search poses are polished in better maps, so many times at most,
        until fewer than this fraction of the images change class.
    regrouping, regroupings: of the classes that the joint search found, where these are the better
        ones; how many times at most.
    """

    split: ClassSplit = ClassSplit()
    joint: JointSearch = PatientClasses()
    radius: float = 12.0
    rounds: int = 3
    settled: float = 0.02
    regrouping: Regrouping = Regrouping()
    regroupings: int = 2

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
        journal: Journal = UNRECORDED,
    ) -> Searched:
        """From nothing, or as found at common poses, `alike`: whichever explains the images
        better."""
        inner, problem = self._problem(consensus, search, journal)

        def from_nothing() -> Searched:
            return problem.polished(self.joint.run(inner, alike.half.classes, search))

        unlike = problem.once("jointly", inner, from_nothing)

        def finer() -> Searched:
            return problem.at_rest(problem.searched(unlike.half))

        if unlike.evidence > alike.evidence:  # although its poses are of coarser maps
            found = problem.once("finer", inner, finer)
            if found.evidence > alike.evidence:
                return replace(found, jointly=True)
        return problem.once("polished", inner, lambda: problem.at_rest(alike))

    def regrouped(
        self,
        found: Searched,
        search: ImageSearch,
        alone: Alone,
        journal: Journal = UNRECORDED,
    ) -> Searched:
        """What a joint search found cut and put together anew, as long as images are explained
        better for it. alone: searches for poses of some of the images as of one structure."""
        inner, problem = self._problem(found.half.sets[0], search, journal)
        begun = replace(found, half=ClassedHalf.recalled(inner.particles, found.half.tree))
        return problem.regrouped(begun, alone)

    def _problem(
        self, consensus: HalfSet, search: ImageSearch, journal: Journal
    ) -> tuple[HalfSet, _Problem]:
        """Of the half-set without what lies beyond, which takes time to copy and is not looked
        at."""
        reach = min(search.radius + 1, consensus.particles.disk.radius)
        inner = replace(consensus, particles=consensus.particles.within(reach))
        return inner, _Problem(self, search, journal)


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

    def searched(self, classed: ClassedHalf) -> Searched:
        """All images searched for in all maps, and told apart at the poses found."""
        placed = self.search.placed(classed.sets[0], self.search.volumes(classed))
        return self._settled(classed, placed)

    def polished(self, classed: ClassedHalf) -> Searched:
        """All images moved to the poses nearby that suit them best, and told apart at these."""
        radius, polish = self.search.radius, self.search.assignment.polish
        sets = tuple(
            refine_half(half, density, radius, polish)
            for half, density in zip(
                classed.sets, classed.densities(radius, self.search.setting), strict=True
            )
        )
        return self._settled(classed, replace(classed, sets=sets))

    def at_rest(self, found: Searched) -> Searched:
        """Polished until next to no image changes class any more."""
        for _ in range(self.method.rounds - 1):
            if found.changed < self.method.settled:
                break
            found = self.polished(found.half)
        return found

    def regrouped(self, found: Searched, alone: Alone) -> Searched:
        """Cut and put together anew as long as images are explained better for it."""
        best = found
        for number in range(self.method.regroupings):
            anew = partial(self._anew, best.half, number, alone)
            other = self.once(f"regrouped {number + 1}", best.half.sets[0], anew)
            if other.evidence <= best.evidence:
                break
            best = replace(other, jointly=True)
        return best

    def _anew(self, classed: ClassedHalf, number: int, alone: Alone) -> Searched:
        rng = generator_for(self.search.setting.seed, "regrouping", number)
        parts = self.method.regrouping.run(classed, self.search, self._told, alone, rng)
        return self.at_rest(self.searched(self.polished(parts).half))

    def once(self, name: str, half: HalfSet, make: Callable[[], Searched]) -> Searched:
        """What is made now, or was before the run was cut off."""

        def tree() -> Tree:
            found = make()
            return found.half.tree, found.evidence, found.changed

        classed, evidence, changed = self.journal.once(name, tree)
        return Searched(ClassedHalf.recalled(half.particles, classed), evidence, changed)

    def _told(self, cut: ClassedHalf) -> tuple[ClassedHalf, float]:
        end = self.polished(cut)
        return end.half, end.evidence

    def _settled(self, before: ClassedHalf, moved: ClassedHalf) -> Searched:
        """At new poses, and how many changed class."""
        found, evidence = self.method.split.settle(moved, self.search.radius, self.search.setting)
        changed = float((found.numbers != before.numbers).double().mean())
        return Searched(found, evidence, changed)
