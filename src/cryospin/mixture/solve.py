"""From a particle stack to a reconstruction of each structure in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.journal.tree import Tree
from cryospin.mixture.class_search import ClassSearch
from cryospin.mixture.classed_half import ClassedHalves, likeliest, recalled_halves
from cryospin.mixture.distinct import Likeness, compare_classes, confusion_between
from cryospin.mixture.fewer import dissolved, given_up, joined, without_the_empty
from cryospin.mixture.refinement import ClassedRefinement, comparable_maps
from cryospin.mixture.result import ClassResult, MixtureResult, renumbered
from cryospin.mixture.starts import ClassedStarts
from cryospin.parallel import single_threaded_torch
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.exploration_report import ExplorationReport
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.point_group import AUTO
from cryospin.reconstruct.ready import imposed_from_the_start, made_ready
from cryospin.reconstruct.refinement import Halves
from cryospin.reconstruct.request import Request
from cryospin.types import ParticleStack

_FARTHER = 1.6

Agreements = tuple[float, ...]
"""Of each class: `ClassResult.agreement`."""

Fewer = tuple[ClassedHalves, Agreements]
"""What is left when one class is gone."""


@dataclass(frozen=True)
class Mixture:
    """The method: a recipe's parts for one structure, and what tells several apart.

    alone_from: particles of a class, in both half-sets, from which it is searched for by itself
        where it does not converge as it was found.
    """

    one: AbInitio
    search: ClassSearch = ClassSearch()
    refinement: ClassedRefinement = ClassedRefinement()
    alone_from: int = 200

    def run(
        self,
        stack: ParticleStack,
        classes: int,
        request: Request,
        monitor: Monitor,
        journal: Journal = UNRECORDED,
        auto: bool = False,
    ) -> MixtureResult:
        """classes: to be told apart; `auto`: at most so many.

        A point group is not imposed on the classes while they are found: a start in a wrong map of
        that symmetry does not leave it, and one of the structures may break it. Each class is
        refined with the group that its own map has, if its images do not object.
        """
        if self.one.starts.tried_without and len(imposed_from_the_start(request.symmetry)) > 1:
            request = replace(request, symmetry=AUTO)
        with single_threaded_torch(), journal.patience():
            return _Run(self, stack, classes, request, monitor, journal, auto).result()


class _Run:
    """One run's circumstances."""

    def __init__(
        self,
        method: Mixture,
        stack: ParticleStack,
        classes: int,
        request: Request,
        monitor: Monitor,
        journal: Journal,
        auto: bool,
    ):
        self.method, self.stack, self.classes, self.auto = method, stack, classes, auto
        self.monitor, self.journal = monitor, journal
        self.ready, self.prepared = made_ready(stack, request, monitor)

    def result(self) -> MixtureResult:
        paired = ClassedStarts(self.method.one.starts, self.method.search).run(
            self.prepared,
            range(2, self.classes + 1) if self.auto else (self.classes,),
            self._searched_for,
            self.ready.setting,
            self.monitor,
            self.journal,
        )
        halves, agreement = self._without_surplus(paired.halves, paired.agreement)
        halves = self._refined(halves, "refined")
        halves, agreement, alike, distinct = self._told_apart(halves, agreement)
        maps, reach = self._maps(halves, self.method.search.radius)
        confusion = confusion_between(halves, maps, reach)
        return self._finished(halves, agreement, alike, distinct, confusion)

    def _without_surplus(self, halves: ClassedHalves, agreement: Agreements) -> Fewer:
        """Without those classes too many that half-sets did not find alike: refined, such a pair
        of different structures would only keep images from the classes they belong to."""
        while halves[0].classes > self.classes:
            fewer = self._one_given_up(halves, agreement, fewer_will_do=True)
            if fewer is None:
                break
            halves, agreement = fewer
        return halves, agreement

    def _told_apart(
        self, halves: ClassedHalves, agreement: Agreements
    ) -> tuple[ClassedHalves, Agreements, list[Likeness], list[Likeness]]:
        """One class fewer and all refined again, until all are distinct and no more than were
        asked for; what those that were joined had in common, and what those that are left have.

        A class too many is one that half-sets did not find alike, if there is one.
        """
        joined_pairs: list[Likeness] = []
        while True:
            halves, agreement = without_the_empty(halves, agreement)
            maps, reach = self._maps(halves, _FARTHER * self.method.search.radius)
            likenesses = compare_classes(halves, maps, reach)
            for each in likenesses:
                self.monitor.log(event="compared classes", same=each.same, **vars(each))
            alike = [each for each in likenesses if each.same]
            surplus = halves[0].classes > self.classes
            fewer = None
            if not alike:
                fewer = self._one_given_up(halves, agreement, surplus or self.auto)
                if fewer is None and not surplus:
                    return halves, agreement, joined_pairs, likenesses
            if fewer is None:
                pair = min(alike or likenesses, key=lambda each: each.kappa)
                joined_pairs.append(pair)
                fewer = joined(halves, agreement, pair.one, pair.other)
            halves, agreement = fewer
            halves = self._refined(halves, f"refined as {halves[0].classes}")

    def _one_given_up(
        self, halves: ClassedHalves, agreement: Agreements, fewer_will_do: bool
    ) -> Fewer | None:
        """Without the class that half-sets agree on least, if it may go."""
        least = self.method.one.starts.agreement_radius
        gone = given_up(halves, agreement, least, fewer_will_do)
        if gone is None:
            return None
        self.monitor.log(event="given up", agreement_radius=agreement[gone])
        return dissolved(halves, agreement, gone)

    @property
    def _searched_for(self) -> int:
        """One more class where there may be junk, or it would take one from the structures."""
        junk = self.method.refinement.junk and self.classes > 1 and not self.auto
        return self.classes + int(junk)

    def _maps(
        self, halves: ClassedHalves, radius: float
    ) -> tuple[tuple[list[Tensor], list[Tensor]], float]:
        return comparable_maps(
            halves, radius, self.ready.setting, self.method.refinement.smallest_radius
        )

    def _refined(self, halves: ClassedHalves, name: str) -> ClassedHalves:
        def refine() -> Tree:
            found = self.method.refinement.run(halves, self.ready.setting, self._told)
            return [half.tree for half in found]

        with self.monitor.stage("refine classes"):
            return recalled_halves(self.prepared, self.journal.once(name, refine))

    def _told(self, done: int, total: int, halves: ClassedHalves) -> None:
        """A round of classes and poses is done."""
        self.monitor.progress("refine classes", done, total)
        for number, half in enumerate(halves, 1):
            self.monitor.log(event="fractions", half=number, fractions=half.fractions.tolist())
        self.journal.may_end()

    def _finished(
        self,
        halves: ClassedHalves,
        agreement: Agreements,
        alike: list[Likeness],
        distinct: list[Likeness],
        confusion: Int[Tensor, "c c"],
    ) -> MixtureResult:
        half_set = self.ready.half_set
        weights = torch.empty(len(self.stack), halves[0].classes)
        for number, half in enumerate(halves, 1):
            weights[torch.as_tensor(half_set == number)] = half.weights.cpu()
        numbers = likeliest(weights).numpy()
        self.monitor.log(event="junk", particles=int((numbers < 0).sum()))
        sizes = np.bincount(numbers[numbers >= 0], minlength=halves[0].classes)
        order = np.argsort(-sizes, kind="stable").tolist()
        found = []
        for label, number in enumerate(order, 1):
            rows = np.flatnonzero(numbers == number)
            members = (halves[0].members(number), halves[1].members(number))
            found.append(self._structure(label, rows, members, agreement[number]))
        return MixtureResult(
            self.classes,
            tuple(found),
            weights[:, order],
            tuple(renumbered(distinct, order)),
            tuple(alike),
            confusion[order][:, order],
            half_set,
        )

    def _structure(
        self, label: int, rows: Int[np.ndarray, " m"], members: Halves, agreement: float
    ) -> ClassResult:
        """A class refined and judged; where that does not converge its images are searched for
        once more, by themselves: the images may be of one structure, and the poses found amidst
        the others be wrong."""
        one, monitor, journal = self.method.one, self.monitor, self.journal.part(f"class{label}")
        monitor.log(event="class", number=label, particles=len(rows))
        ready = self.ready.select(rows)
        found_alike = agreement >= one.starts.agreement_radius
        exploration = ExplorationReport(found_alike, agreement)
        result = one.refine_and_judge(ready, members, exploration, monitor, journal)
        if result.verdict.converged or len(rows) < self.method.alone_from:
            return ClassResult(rows, agreement, result)
        alone = journal.part("alone")
        prepared = members[0].particles, members[1].particles
        members, exploration = one.starts.run(prepared, ready.setting, monitor, alone.part("start"))
        monitor.log(event="class alone", number=label, agreed=exploration.agreed)
        again = one.refine_and_judge(ready, members, exploration, monitor, alone)
        if not again.verdict.converged:
            return ClassResult(rows, agreement, result)
        return ClassResult(rows, exploration.agreement_radius or agreement, again)
