"""From a particle stack to a result: explore each half alone, join, refine, judge.

The gold standard from scratch: the half-sets start from their own random maps, and no image of
one is ever compared with a map of the other to find its pose. What does cross between them is
told in docs/conventions.md, "What crosses between the half-sets".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from cryospin.explore.setting import Setting
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.parallel import single_threaded_torch
from cryospin.reconstruct.exploration_report import ExplorationReport
from cryospin.reconstruct.finishing import finished
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.point_group import AUTO, SymmetryFound, find_symmetry, in_the_axes
from cryospin.reconstruct.ready import Prepared, Ready, made_ready
from cryospin.reconstruct.refinement import (
    AlternatingRefinement,
    Halves,
    Report,
    RoundReport,
    RoundSight,
)
from cryospin.reconstruct.request import Request
from cryospin.reconstruct.result import Result
from cryospin.reconstruct.starting import IndependentStarts
from cryospin.rotations.symmetry import symmetry_group
from cryospin.types import ParticleStack


@dataclass(frozen=True)
class AbInitio:
    """The method: poses from independent starts, then refinement."""

    starts: IndependentStarts
    refinement: AlternatingRefinement

    def run(
        self,
        stack: ParticleStack,
        request: Request,
        monitor: Monitor,
        journal: Journal = UNRECORDED,
    ) -> Result:
        """Reconstruct a stack that has passed `particles.audit`.

        With the journal of a run that was cut off: from there on, to the same bits.
        """
        with single_threaded_torch():
            ready, prepared = made_ready(stack, request, monitor)
            with journal.patience():
                ready, halves, exploration = self._started(ready, prepared, monitor, journal)
                return self.refine_and_judge(ready, halves, exploration, monitor, journal)

    def _started(
        self, ready: Ready, prepared: Prepared, monitor: Monitor, journal: Journal
    ) -> tuple[Ready, Halves, ExplorationReport]:
        """Poses in one frame; and without the group that was asked for, where images prefer that:
        it is then looked for."""
        starts, setting, request = self.starts, ready.setting, ready.request
        given = prepared, setting, monitor, journal.part("start")
        if request.initial_map is not None:
            lowpass = request.initial_lowpass_angstrom
            return ready, *starts.from_map(request.initial_map, lowpass, *given)
        halves, exploration = starts.run(*given)
        without = journal.part("without the group")
        if (
            not starts.tried_without
            or len(setting.operators) == 1
            or not starts.better_without(prepared, exploration, setting, monitor, without)
        ):
            return ready, halves, exploration
        setting = setting.asymmetric()
        request = replace(request, symmetry=AUTO, symmetry_asked=request.symmetry)
        ready = replace(ready, setting=setting, request=request)
        return ready, *starts.run(prepared, setting, monitor, without)

    def refine_and_judge(
        self,
        ready: Ready,
        halves: Halves,
        exploration: ExplorationReport,
        monitor: Monitor,
        journal: Journal,
    ) -> Result:
        """From poses in one frame to the end.

        halves: of the particles that are ready, as these are split. exploration: how the poses
        were found.
        """
        request = ready.request
        reports: list[RoundReport] = []
        found: SymmetryFound | None = None
        if exploration.agreed:
            halves, reports = self._refined(halves, ready.setting, monitor, journal)
            if len(ready.setting.operators) == 1:
                found = self._symmetry(halves, ready.setting, monitor, journal)
            if found is not None and request.symmetry == AUTO and found.name != "C1":
                operators = symmetry_group(found.name).float().to(ready.setting.operators.device)
                ready = replace(ready, setting=replace(ready.setting, operators=operators))
                again = journal.part("with symmetry")
                halves = in_the_axes(halves, found.in_the_map)
                halves = self.starts.searched_again(
                    halves, ready.setting, monitor, again.part("start")
                )
                halves, reports = self._refined(halves, ready.setting, monitor, again)
        ready = replace(ready, request=_answered(request, found))
        with monitor.stage("postprocess"):
            result = finished(ready, halves, reports, exploration, found)
        verdict = result.verdict
        monitor.log(event="verdict", label=verdict.label, reasons=list(verdict.reasons))
        return result

    def _refined(
        self, halves: Halves, setting: Setting, monitor: Monitor, journal: Journal
    ) -> tuple[Halves, list[RoundReport]]:
        with monitor.stage("refine"):
            return self.refinement.run(
                halves,
                setting,
                self.starts.assignment,
                monitor_rounds(monitor),
                journal.part("refine"),
            )

    def _symmetry(
        self, halves: Halves, setting: Setting, monitor: Monitor, journal: Journal
    ) -> SymmetryFound:
        with monitor.stage("symmetry"):
            found = journal.once("symmetry", lambda: find_symmetry(halves, setting))
            monitor.log(event="symmetry", **found.summary())
        return found


def _answered(request: Request, found: SymmetryFound | None) -> Request:
    """With the group that was found where that was asked for, and a doubt where it is none that
    was to be imposed."""
    if request.symmetry == AUTO:
        request = replace(request, symmetry="C1" if found is None else found.name)
    asked = request.symmetry_asked
    if asked in (None, request.symmetry):
        return request
    doubt = f"the images are explained better without {asked}, and {asked} is not found"
    return replace(request, doubts=(*request.doubts, doubt))


def monitor_rounds(monitor: Monitor) -> Report:
    """What refinement calls after each round."""

    def report(done: int, total: int, told: RoundReport, sight: RoundSight) -> None:
        monitor.progress("refine", done, total)
        fsc = [round(value, 3) for value in sight.curve.values.tolist()]
        confidence = torch.cat([half.confidence for half in sight.halves]).mean()
        monitor.log(
            event="round", **vars(told), mean_confidence=round(float(confidence), 4), fsc=fsc
        )
        for half, density, after in zip((1, 2), sight.densities, sight.halves, strict=True):
            monitor.show("map", half, partial(_same, density))
            monitor.show("views", half, partial(_same, after.rotations))

    return report


def _same(tensor: Tensor) -> Tensor:
    return tensor
