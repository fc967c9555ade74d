"""Which image of a half-set shows which structure, and in which pose: from one map to several.

Two ways lead from a consensus to classes. Structures that share most of their mass have poses in
common, and their images are told apart at these. Unrelated ones have not: there a joint search over
classes and poses begins from nothing, coarse as it is. On both, all images are searched for in all
maps, and polished in better ones; that whose maps explain them better is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from cryospin.explore.exploration import Explorer
from cryospin.explore.setting import Setting
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.mixture.joint import ClassProgress, JointSearch, PatientClasses, placed
from cryospin.mixture.split import ClassSplit
from cryospin.mixture.winner_classes import WinnerClasses
from cryospin.particles.draws import generator_for
from cryospin.particles.spectrum import prior_precision
from cryospin.reconstruct.semi_amortised import SemiAmortised
from cryospin.refine.assign import GlobalAssignment
from cryospin.refine.halves import HalfSet, refine_half
from cryospin.volumes.gridded import map_of, map_to_volume, support_sphere


@dataclass(frozen=True)
class ClassSearch:
    """Hyper-parameters; radii in Fourier pixels.

    joint: the search over poses and classes at once.
    radius: within which all images are searched for in all maps of the split; afterwards poses
        are polished in better maps, `rounds` times at most, until fewer than `settled` of the
        images change class.
    """

    split: ClassSplit = ClassSplit()
    joint: JointSearch = PatientClasses()
    radius: float = 12.0
    rounds: int = 3
    settled: float = 0.02

    @classmethod
    def suiting(cls, explorer: Explorer) -> ClassSearch:
        """Whose joint search looks for poses as that explorer does."""
        if isinstance(explorer, SemiAmortised):
            return cls(joint=WinnerClasses(explorer))
        return cls()

    def run(
        self,
        consensus: HalfSet,
        classes: int,
        setting: Setting,
        assignment: GlobalAssignment,
        progress: ClassProgress = lambda label, done, total: None,
    ) -> Searched:
        radius = min(self.radius, consensus.particles.disk.radius)
        problem = _Problem(self, classes, setting, assignment, progress, radius)
        rng = generator_for(setting.seed, "classes")

        def told(done: int, total: int) -> None:
            progress("split", done, total)

        # what lies beyond takes time to copy and is not looked at
        reach = min(self.radius + 1, consensus.particles.disk.radius)
        inner = replace(consensus, particles=consensus.particles.within(reach))
        split = self.split.run(inner, classes, setting, rng, told)
        alike = problem.searched(split)
        unlike = problem.searched_jointly(inner)
        if unlike.evidence > alike.evidence:
            # its poses are of coarser maps
            unlike = problem.searched(unlike.half)
        best = max((alike, unlike), key=lambda end: end.evidence)
        for _ in range(self.rounds - 1):
            if best.changed < self.settled:
                break
            best = problem.polished(best.half)
        return Searched(best.half, alike.evidence, unlike.evidence)


@dataclass(frozen=True)
class Searched:
    """A half-set in classes. Mean log evidence of an image, of the search at common poses and of
    the joint one: the better was taken."""

    half: ClassedHalf
    at_common_poses: float
    jointly: float


@dataclass(frozen=True)
class _Searched:
    """changed: fraction of the images whose class did."""

    half: ClassedHalf
    evidence: float
    changed: float


@dataclass(frozen=True)
class _Problem:
    method: ClassSearch
    classes: int
    setting: Setting
    assignment: GlobalAssignment
    progress: ClassProgress
    radius: float

    def searched_jointly(self, half: HalfSet) -> _Searched:
        """Poses and classes of all images at once, and polished."""
        asked = self.setting, self.assignment, self.progress
        return self.polished(self.method.joint.run(half, self.classes, *asked))

    def searched(self, classed: ClassedHalf) -> _Searched:
        """All images searched for in all maps, and told apart at the poses found."""
        box = classed.particles.disk.box
        volumes = [map_to_volume(each, box, self.radius) for each in self._densities(classed)]
        half, asked = classed.sets[0], (self.setting, self.assignment, self.progress)
        found = placed(half, volumes, self.radius, *asked)
        return self._settled(classed, found)

    def polished(self, classed: ClassedHalf) -> _Searched:
        """All images moved to the poses nearby that suit them best, and told apart at these."""
        polish = self.assignment.polish
        sets = tuple(
            refine_half(half, density, self.radius, polish)
            for half, density in zip(classed.sets, self._densities(classed), strict=True)
        )
        return self._settled(classed, replace(classed, sets=sets))

    def _settled(self, before: ClassedHalf, moved: ClassedHalf) -> _Searched:
        """At new poses, and how many changed class."""
        found, evidence = self.method.split.settle(moved, self.radius, self.setting)
        changed = float((found.numbers != before.numbers).double().mean())
        return _Searched(found, evidence, changed)

    def _densities(self, classed: ClassedHalf) -> list[Tensor]:
        particles, radius, setting = classed.particles, self.radius, self.setting
        box = particles.disk.box
        support = support_sphere(box, radius, setting.support_radius, particles.device)
        precision = prior_precision(particles)
        return [
            map_of(classed.sums(c, radius, setting.operators), precision, radius, box, support)
            for c in range(self.classes)
        ]
