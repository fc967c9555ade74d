"""From a particle stack to a result: explore each half alone, join, refine, judge.

The gold standard from scratch: the half-sets start from their own random maps, and no image of
one is ever compared with a map of the other to find its pose. What does cross between them is
told in docs/conventions.md, "What crosses between the half-sets".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.io.run_folder import COEFFICIENTS
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.journal.ranks import leads, led, of_halves
from cryospin.parallel import single_threaded_torch
from cryospin.particles.absent import AbsentParticles
from cryospin.particles.diameter import ParticleSize, particle_size
from cryospin.particles.half_sets import split_half_sets
from cryospin.particles.prepare import Preparation
from cryospin.particles.source import ParticleSource
from cryospin.particles.stored import store_particles
from cryospin.reconstruct.exploration_report import ExplorationReport
from cryospin.reconstruct.final_maps import final_maps
from cryospin.reconstruct.judgement import judge
from cryospin.reconstruct.measuring import measure
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.point_group import AUTO, SymmetryFound, find_symmetry, in_the_axes
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
from cryospin.refine.halves import HalfSet, sums_of_batches
from cryospin.rotations.symmetry import symmetry_group
from cryospin.types import ParticleStack, Poses
from cryospin.volumes.gridded import SliceSums


@dataclass(frozen=True)
class Ready:
    """A stack read in half-sets, and what a search for its poses is given.

    half_set: 1 or 2 of each particle of the stack.
    """

    size: ParticleSize
    prepared: tuple[ParticleSource, ParticleSource]
    half_set: np.ndarray
    setting: Setting


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
            return self._run(stack, request, monitor, journal)

    def _run(
        self, stack: ParticleStack, request: Request, monitor: Monitor, journal: Journal
    ) -> Result:
        ready = self.prepare(stack, request, monitor)
        with journal.patience():
            halves, exploration = self._started(
                ready.prepared, ready.setting, request, monitor, journal.part("start")
            )
            few = 1 < len(ready.setting.operators) <= self.starts.tried_without
            without = journal.part("without the group")
            if (
                few
                and request.initial_map is None
                and self.starts.better_without(
                    ready.prepared, exploration, ready.setting, monitor, without
                )
            ):
                ready = replace(ready, setting=ready.setting.asymmetric())
                request = replace(request, symmetry=AUTO, symmetry_asked=request.symmetry)
                halves, exploration = self.starts.run(
                    ready.prepared, ready.setting, monitor, without
                )
            return self.refine_and_judge(
                ready, stack, ready.half_set, halves, exploration, request, monitor, journal
            )

    def _started(
        self,
        prepared: tuple[ParticleSource, ParticleSource],
        setting: Setting,
        request: Request,
        monitor: Monitor,
        journal: Journal,
    ) -> tuple[Halves, ExplorationReport]:
        if request.initial_map is None:
            return self.starts.run(prepared, setting, monitor, journal)
        given = request.initial_map, request.initial_lowpass_angstrom
        return self.starts.from_map(*given, prepared, setting, monitor, journal)

    def prepare(self, stack: ParticleStack, request: Request, monitor: Monitor) -> Ready:
        """The half-sets read, and the method fitted to the particle's size."""
        operators = imposed_from_the_start(request.symmetry).to(torch.device(request.device))
        shift_range = 0.05 * stack.box
        if request.max_shift_angstrom is not None:
            shift_range = request.max_shift_angstrom / stack.pixel_size_angstrom
        with monitor.stage("read"):
            given = request.particle_diameter_angstrom
            size = led(lambda: particle_size(stack, request.seed, shift_range, given))
            monitor.log(event="particle size", **size.summary())
            prepared, half_set = self._prepare(stack, size, request, monitor)
        support = size.support_radius(stack.box * stack.pixel_size_angstrom)
        seeds = request.seed, request.seed
        setting = Setting(operators, shift_range, support, *seeds)
        return Ready(size, prepared, half_set, setting)

    def refine_and_judge(
        self,
        ready: Ready,
        stack: ParticleStack,
        half_set: np.ndarray,
        halves: Halves,
        exploration: ExplorationReport,
        request: Request,
        monitor: Monitor,
        journal: Journal,
    ) -> Result:
        """From poses in one frame to the end.

        stack: all that was made ready, or those of it that show one structure; `halves` are its
        particles, split as `half_set` says. exploration: how the poses were found.
        """
        setting = ready.setting
        reports: list[RoundReport] = []
        found: SymmetryFound | None = None
        if exploration.agreed:
            with monitor.stage("refine"):
                halves, reports = self.refinement.run(
                    halves,
                    setting,
                    self.starts.assignment,
                    monitor_rounds(monitor),
                    journal.part("refine"),
                )
            if len(setting.operators) == 1:
                found = self._symmetry(halves, setting, monitor, journal)
            if found is not None and request.symmetry == AUTO and found.name != "C1":
                operators = symmetry_group(found.name).float().to(setting.operators.device)
                setting = replace(setting, operators=operators)
                halves, reports = self._again_with(found, halves, setting, monitor, journal)
        if request.symmetry == AUTO:
            request = replace(request, symmetry="C1" if found is None else found.name)
        asked = request.symmetry_asked
        if asked not in (None, request.symmetry):
            doubt = f"the images are explained better without {asked}, and {asked} is not found"
            request = replace(request, doubts=(*request.doubts, doubt))
        size = ready.size
        with monitor.stage("postprocess"):
            result = self._finish(
                stack,
                size,
                halves,
                half_set,
                setting,
                request,
                reports,
                exploration,
                found,
            )
        verdict = result.verdict
        monitor.log(event="verdict", label=verdict.label, reasons=list(verdict.reasons))
        return result

    def _symmetry(
        self, halves: Halves, setting: Setting, monitor: Monitor, journal: Journal
    ) -> SymmetryFound:
        with monitor.stage("symmetry"):
            found = journal.once("symmetry", lambda: find_symmetry(halves, setting))
            monitor.log(event="symmetry", **found.summary())
        return found

    def _again_with(
        self,
        found: SymmetryFound,
        halves: Halves,
        setting: Setting,
        monitor: Monitor,
        journal: Journal,
    ) -> tuple[Halves, list[RoundReport]]:
        """The halves in the group's axes, their poses searched for and refined with it imposed."""
        halves = in_the_axes(halves, found.in_the_map)
        again = journal.part("with symmetry")
        halves = self.starts.searched_again(halves, setting, monitor, again.part("start"))
        with monitor.stage("refine"):
            return self.refinement.run(
                halves,
                setting,
                self.starts.assignment,
                monitor_rounds(monitor),
                again.part("refine"),
            )

    def _prepare(
        self, stack: ParticleStack, size: ParticleSize, request: Request, monitor: Monitor
    ) -> tuple[tuple[ParticleSource, ParticleSource], np.ndarray]:
        field = stack.box * stack.pixel_size_angstrom
        distance = 0.5 * (size.diameter_angstrom or 0.6 * field)
        half_set = split_half_sets(stack, request.seed, distance)
        here: dict[int, ParticleSource] = {}

        def read(number: int) -> tuple[float, Float[Tensor, "g s"]]:
            """A half's images, for whoever is to have them; what others know of them."""
            half = number + 1
            preparation = Preparation.of(
                stack.select(np.flatnonzero(half_set == half)),
                max_resolution_angstrom=request.max_resolution_angstrom,
                mask_diameter_angstrom=size.mask_diameter_angstrom,
                seed=request.seed,
                device=torch.device(request.device),
            )
            watched = (request.batch_size, partial(monitor.progress, f"read half-set {half}"))
            if request.scratch is None:
                here[number] = preparation.in_memory(*watched)
            else:
                path = request.scratch.folder / f"half{half}{COEFFICIENTS}"
                stored = partial(store_particles, preparation, path, request.scratch.key, *watched)
                if leads():
                    stored()
                led(lambda: None)  # there for the others
                here[number] = stored()
            return preparation.disk.radius, preparation.noise_power

        known = of_halves(read)

        def half_of(number: int) -> ParticleSource:
            if number in here:
                return here[number]
            some = stack.select(np.flatnonzero(half_set == number + 1))
            group = torch.as_tensor(some.optics_group)
            radius, noise_power = known[number]
            disk, group = FourierDisk.of(stack.box, radius), group.to(noise_power.device)
            return AbsentParticles(disk, some.pixel_size_angstrom, some.uids, group, noise_power)

        return (half_of(0), half_of(1)), half_set

    def _finish(
        self,
        stack: ParticleStack,
        size: ParticleSize,
        halves: Halves,
        half_set: np.ndarray,
        setting: Setting,
        request: Request,
        reports: list[RoundReport],
        exploration: ExplorationReport,
        found: SymmetryFound | None = None,
    ) -> Result:
        def sums_of_half(number: int) -> SliceSums:
            members = half_set == number + 1
            return self._unmasked_sums(
                stack, size, halves[number], members, setting.operators, request
            )

        first, second = of_halves(sums_of_half)
        particles, contrast = halves[0].particles, request.either_contrast
        maps = led(lambda: final_maps((first, second), particles, setting, contrast))
        measures = measure(halves, maps, exploration, setting, request, found)
        return Result(
            maps.density,
            maps.half1,
            maps.half2,
            maps.mask,
            gathered_poses(halves, half_set, stack.pixel_size_angstrom),
            half_set,
            maps.resolution,
            judge(measures),
            exploration,
            [vars(report) for report in reports],
            maps.turned,
            size,
            request.symmetry,
            found,
        )

    def _unmasked_sums(
        self,
        stack: ParticleStack,
        size: ParticleSize,
        half: HalfSet,
        members: np.ndarray,
        operators: Tensor,
        request: Request,
    ) -> SliceSums:
        """The final map of a half is made from its images as they are, read once more."""
        preparation = Preparation.of(
            stack.select(np.flatnonzero(members)),
            max_resolution_angstrom=request.max_resolution_angstrom,
            mask_diameter_angstrom=size.mask_diameter_angstrom,
            device=half.particles.device,
            masked=False,
            noise_power=half.particles.noise_power,
        )
        batches = preparation.in_blocks(lambda rows, images: (rows, images), request.batch_size)
        return sums_of_batches(half, batches, preparation.disk.radius, operators)


def imposed_from_the_start(symmetry: str) -> Float[Tensor, "s 3 3"]:
    """The rotations of the group asked for; where it is to be found, of none."""
    return symmetry_group("C1" if symmetry == AUTO else symmetry).float()


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


def gathered_poses(halves: Halves, half_set: np.ndarray, pixel_size_angstrom: float) -> Poses:
    """The poses of both halves in the order of the stack."""
    count = len(half_set)
    poses = Poses(torch.empty(count, 3, 3), torch.empty(count, 2), torch.empty(count))
    for number, half in enumerate(halves, 1):
        rows = torch.as_tensor(np.flatnonzero(half_set == number))
        poses.rotations[rows] = half.rotations.cpu()
        poses.shifts_angstrom[rows] = half.shifts_pixel.cpu() * pixel_size_angstrom
        poses.confidence[rows] = half.confidence.cpu()
    return poses
