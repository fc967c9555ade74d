"""Which image of a half-set shows which structure, and in which pose: from one map to several.

Two ways lead from a consensus to classes. Structures that share most of their mass have poses in
common, and their images are told apart at these. Unrelated ones have not: there the split's maps
start a joint search over classes and poses, coarse as it is. On both, all images are searched for
in all maps, once, and polished in better ones; that whose maps explain them better is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cryospin.explore.grid_step import GridStep
from cryospin.explore.patience import Climb, Patience, PatientSearch
from cryospin.explore.setting import Setting
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.mixture.split import ClassSplit
from cryospin.particles.draws import generator_for
from cryospin.particles.spectrum import information_per_image, prior_precision
from cryospin.refine.assign import GlobalAssignment
from cryospin.refine.halves import HalfSet, map_of, refine_half
from cryospin.volumes.gridded import map_to_volume, support_sphere


@dataclass(frozen=True)
class ClassSearch:
    """Hyper-parameters; radii in Fourier pixels.

    joint: the search over poses and classes at once, out to `joint_radius`.
    radius: within which all images are searched for in all maps of the split; afterwards poses
        are polished in better maps, `rounds` times at most, until fewer than `settled` of the
        images change class.
    """

    split: ClassSplit = ClassSplit()
    joint: Patience = Patience(first_radius=6.0, held=1.0)
    joint_radius: float = 9.0
    radius: float = 12.0
    rounds: int = 3
    settled: float = 0.02

    def run(
        self,
        consensus: HalfSet,
        classes: int,
        setting: Setting,
        assignment: GlobalAssignment,
        progress: Callable[[str, int, int], None] = lambda label, done, total: None,
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
        unlike = problem.polished(problem.searched_jointly(split))
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
    progress: Callable[[str, int, int], None]
    radius: float

    def searched_jointly(self, classed: ClassedHalf) -> ClassedHalf:
        """All images in the maps of a joint search that these classes' maps start."""
        method, particles = self.method, classed.particles
        radius = min(method.joint_radius, particles.disk.radius)
        step = GridStep.of(particles, self.setting, 3, radius, fine_from=method.joint_radius + 1)
        nats = max(information_per_image(particles, method.joint.first_radius), 1e-3)
        search = PatientSearch(method.joint, step, nats, self.classes)
        sums = tuple(classed.sums(c, radius, self.setting.operators) for c in range(self.classes))
        densities = tuple(step.map.density(each, method.joint.first_radius) for each in sums)
        even = torch.full((self.classes,), 1 / self.classes, device=particles.device)
        total = search.most_iterations
        climb = search.run(
            lambda done, look: self.progress("joint search", done, total),
            start=Climb(densities, densities, sums, even),
        )
        return self._placed(classed, [step.map.volume(each, radius) for each in climb.sums], radius)

    def searched(self, classed: ClassedHalf) -> _Searched:
        """All images searched for in all maps, and told apart at the poses found."""
        box = classed.particles.disk.box
        volumes = [map_to_volume(each, box, self.radius) for each in self._densities(classed)]
        return self._settled(classed, self._placed(classed, volumes, self.radius))

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

    def _placed(self, classed: ClassedHalf, volumes: list[Tensor], radius: float) -> ClassedHalf:
        """All images searched for in all maps, and their classes by how well these explain them."""
        sets, losses = [], []
        for number, (half, volume) in enumerate(zip(classed.sets, volumes, strict=True), 1):

            def told(done: int, total: int, number: int = number) -> None:
                self.progress(f"assign class {number}", done, total)

            found = self.assignment.run(volume, half.particles, radius, self.setting, told)
            sets.append(replace(half, poses=found))
            losses.append(found.loss)
        return ClassedHalf(tuple(sets), torch.softmax(-torch.stack(losses, dim=1), dim=1))
