"""From a particle stack to a result: explore each half alone, join, refine, judge.

The gold standard from scratch: the half-sets start from their own random maps and share
nothing but a frame and the FSC curve.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.explore.exhaustive import ExhaustiveSearch, Exploration
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.kernels import OVERSAMPLING
from cryospin.parallel import single_threaded_torch
from cryospin.particles.extent import particle_radius_pixel
from cryospin.particles.half_sets import split_half_sets
from cryospin.particles.prepare import PreparedParticles, prepare_particles
from cryospin.particles.spectrum import signal_power
from cryospin.reconstruct.judgement import judge
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.refinement import (
    AlternatingRefinement,
    Halves,
    RoundReport,
    agreement_radius,
    half_set_fsc,
    prior_of,
    unfiltered_map,
)
from cryospin.reconstruct.result import Result
from cryospin.refine.assign import GlobalAssignment
from cryospin.refine.halves import HalfSet, map_of, sums_of
from cryospin.rotations.symmetry import symmetry_group
from cryospin.types import DensityMap, ParticleStack, Poses
from cryospin.volumes.alignment import (
    align_maps,
    apply_alignment,
    poses_after_alignment,
)
from cryospin.volumes.gridded import SliceSums, map_to_volume, spherical_support
from cryospin.volumes.initial import initial_volume
from cryospin.volumes.masks import soft_mask
from cryospin.volumes.resolution import half_map_resolution


@dataclass(frozen=True)
class Request:
    """What the user asks of a run. Lengths in Angstrom.

    max_shift_angstrom: how far particles may lie from the box centre, per axis; default 5 %
        of the box. initial_map: skips exploration, low-passed to `initial_lowpass_angstrom`.
    """

    seed: int = 0
    symmetry: str = "C1"
    particle_diameter_angstrom: float | None = None
    max_resolution_angstrom: float | None = None
    max_shift_angstrom: float | None = None
    initial_map: DensityMap | None = None
    initial_lowpass_angstrom: float = 30.0
    batch_size: int = 500


@dataclass(frozen=True)
class AbInitio:
    """The method: its parts and how often it may start over.

    attempts: explorations before giving up: both halves, then always the half whose map
        explains its images worse.
    agreement_radius: Fourier pixels to which independent maps must share FSC 0.5.
    alike: standard errors the halves' scores may differ by, or the lower one is tried again:
        a start may end near the solution with part of the particles in wrong places.
    """

    search: ExhaustiveSearch
    assignment: GlobalAssignment
    refinement: AlternatingRefinement
    attempts: int = 4
    agreement_radius: float = 8.0
    alike: float = 4.0

    def run(self, stack: ParticleStack, request: Request, monitor: Monitor) -> Result:
        """Reconstruct a stack that has passed `particles.audit`."""
        with single_threaded_torch():
            return self._run(stack, request, monitor)

    def _run(self, stack: ParticleStack, request: Request, monitor: Monitor) -> Result:
        operators = torch.as_tensor(symmetry_group(request.symmetry), dtype=torch.float32)
        with monitor.stage("read"):
            prepared, half_set = self._prepare(stack, request, monitor)
        shift_range = 0.05 * stack.box
        if request.max_shift_angstrom is not None:
            shift_range = request.max_shift_angstrom / stack.pixel_size_angstrom
        sized = self.sized(stack, request)
        halves, told = _Run(sized, request, monitor, operators, shift_range).start(prepared)
        reports: list[RoundReport] = []
        if told["agreed"]:
            with monitor.stage("refine"):
                halves, reports = sized.refinement.run(
                    halves, operators, sized.assignment, shift_range, monitor_rounds(monitor)
                )
        with monitor.stage("postprocess"):
            return sized._finish(stack, halves, half_set, operators, request, reports, told)

    def sized(self, stack: ParticleStack, request: Request) -> AbInitio:
        """The method with its support sphere fitted to the particle's size."""
        if request.particle_diameter_angstrom is not None:
            radius = 0.55 * request.particle_diameter_angstrom / stack.pixel_size_angstrom
        else:
            radius = particle_radius_pixel(stack, request.seed)
        fraction = min(radius / stack.box, self.search.support_radius)
        return replace(
            self,
            search=replace(self.search, support_radius=fraction),
            refinement=replace(self.refinement, support_radius=fraction),
        )

    def _prepare(
        self, stack: ParticleStack, request: Request, monitor: Monitor
    ) -> tuple[tuple[PreparedParticles, PreparedParticles], np.ndarray]:
        diameter = request.particle_diameter_angstrom
        distance = 0.5 * (diameter or 0.6 * stack.box * stack.pixel_size_angstrom)
        half_set = split_half_sets(stack, request.seed, distance)
        prepared = []
        for half in (1, 2):
            prepared.append(
                prepare_particles(
                    stack.select(np.flatnonzero(half_set == half)),
                    max_resolution_angstrom=request.max_resolution_angstrom,
                    particle_diameter_angstrom=diameter,
                    seed=request.seed,
                    batch_size=request.batch_size,
                    progress=partial(monitor.progress, f"read half-set {half}"),
                )
            )
        return (prepared[0], prepared[1]), half_set

    def _finish(
        self,
        stack: ParticleStack,
        halves: Halves,
        half_set: np.ndarray,
        operators: Tensor,
        request: Request,
        reports: list[RoundReport],
        told: dict[str, Any],
    ) -> Result:
        box, pixel = stack.box, stack.pixel_size_angstrom
        largest = halves[0].particles.disk.radius
        sums = (
            self._unmasked_sums(stack, halves[0], half_set == 1, operators, request),
            self._unmasked_sums(stack, halves[1], half_set == 2, operators, request),
        )
        half1, half2 = (DensityMap(unfiltered_map(s, largest, box, box), pixel) for s in sums)
        support = spherical_support(box, self.refinement.support_radius * box, 0.07 * box)
        curve = half_set_fsc(sums, largest, box, support)
        joint = sums[0] + sums[1]
        # SSNR of both halves together: the prior is one half's over the doubled denominator
        prior = 0.5 * prior_of(joint, curve)
        density = DensityMap(map_of(joint, prior, largest, box, torch.ones_like(support)), pixel)
        mask = soft_mask(density)
        resolution = half_map_resolution(half1, half2, mask, seed=request.seed)
        poses = gathered_poses(halves, half_set, pixel)
        return Result(
            density,
            half1,
            half2,
            mask,
            poses,
            half_set,
            resolution,
            judge(resolution, poses, told, box, pixel, request.symmetry),
            told,
            [vars(report) for report in reports],
        )

    def _unmasked_sums(
        self,
        stack: ParticleStack,
        half: HalfSet,
        members: np.ndarray,
        operators: Tensor,
        request: Request,
    ) -> SliceSums:
        """The final map of a half is made from its images as they are, read once more."""
        particles = prepare_particles(
            stack.select(np.flatnonzero(members)),
            max_resolution_angstrom=request.max_resolution_angstrom,
            particle_diameter_angstrom=request.particle_diameter_angstrom,
            batch_size=request.batch_size,
            masked=False,
            noise_power=half.particles.noise_power,
        )
        return sums_of(replace(half, particles=particles), particles.disk.radius, operators)


@dataclass(frozen=True)
class _Run:
    """One run's circumstances, for the part that may start over."""

    method: AbInitio
    request: Request
    monitor: Monitor
    operators: Float[Tensor, "s 3 3"]
    shift_range_pixel: float

    def start(
        self, prepared: tuple[PreparedParticles, PreparedParticles]
    ) -> tuple[Halves, dict[str, Any]]:
        """Both halves with poses in one frame, and how exploration went."""
        if self.request.initial_map is not None:
            with self.monitor.stage("assign"):
                lowpass = self.request.initial_lowpass_angstrom
                volume = initial_volume(self.request.initial_map, lowpass, prepared[0])
                first, second = (self._assigned(p, volume, i) for i, p in enumerate(prepared, 1))
                return (first, second), {"initial_map": True, "agreed": True}
        told: dict[str, Any] = {"half1": [], "half2": []}
        kept = [
            self._explored(particles, half, 0, told) for half, particles in enumerate(prepared, 1)
        ]
        halves, agreement = self._joined((kept[0][1], kept[1][1]))
        for attempt in range(1, self.method.attempts):
            one, other = (exploration for exploration, _ in kept)
            lower = int(other.score < one.score)
            error = np.hypot(one.uncertainty, other.uncertainty)
            alike = abs(one.score - other.score) <= self.method.alike * error
            if alike and agreement >= self.method.agreement_radius:
                break
            again = self._explored(prepared[lower], lower + 1, attempt, told)
            if again[0].score <= kept[lower][0].score:
                continue
            tried = [*kept]
            tried[lower] = again
            found, agrees = self._joined((tried[0][1], tried[1][1]))
            # a pair that agrees is not given up for one that agrees less
            if agrees >= min(agreement, self.method.agreement_radius):
                kept, halves, agreement = tried, found, agrees
        told["agreement_radius"] = agreement
        told["agreed"] = agreement >= self.method.agreement_radius
        return halves, told

    def _explored(
        self, particles: PreparedParticles, half: int, attempt: int, told: dict[str, Any]
    ) -> tuple[Exploration, HalfSet]:
        """How exploring went, and the half-set with poses from the best start's map."""
        with self.monitor.stage("explore"):
            exploration = self._explore(particles, half, attempt)
        told[f"half{half}"] += [
            {"attempt": attempt + 1, "start": i + 1, "score": score}
            for i, score in enumerate(exploration.scores)
        ]
        self.monitor.log(event="explored", half=half, scores=exploration.scores)
        with self.monitor.stage("assign"):
            assigned = self._assigned(particles, self._volume(exploration, particles), half)
        return exploration, assigned

    def _explore(self, particles: PreparedParticles, half: int, attempt: int) -> Exploration:
        seed = self.request.seed * 1000 + attempt * 10 + half
        return self.method.search.run(
            particles,
            self.operators,
            self.shift_range_pixel,
            seed,
            self.request.seed,
            lambda label, done, total: self.monitor.progress(
                f"explore half-set {half}" + (f", attempt {attempt + 1}" if attempt else ""),
                done,
                total,
            ),
        )

    def _volume(self, exploration: Exploration, particles: PreparedParticles) -> Tensor:
        sums, radius = exploration.sums, exploration.radius
        support = self.method.refinement.support(particles.disk.box, radius)
        precision = 1.0 / signal_power(particles)
        density = map_of(sums, precision, radius, particles.disk.box, support)
        return map_to_volume(density, particles.disk.box, radius)

    def _assigned(self, particles: PreparedParticles, volume: Tensor, half: int) -> HalfSet:
        poses, weight = self.method.assignment.run(
            volume,
            particles,
            (volume.shape[-1] - 2) / OVERSAMPLING,
            self.operators,
            self.shift_range_pixel,
            lambda done, total: self.monitor.progress(f"assign half-set {half}", done, total),
        )
        return HalfSet(particles, poses.rotations, poses.shifts_pixel, weight)

    def _joined(self, halves: Halves) -> tuple[Halves, float]:
        """Half 2 moved into the frame of half 1, and the radius to which the maps agree."""
        with self.monitor.stage("join"):
            joined, agreement = self._superimposed(halves)
            self.monitor.log(event="joined", agreement_radius=agreement)
        return joined, agreement

    def _superimposed(self, halves: Halves) -> tuple[Halves, float]:
        particles = halves[0].particles
        box, pixel = particles.disk.box, particles.pixel_size_angstrom
        radius = self.method.search.last_radius
        support = self.method.refinement.support(box, radius)
        grid_pixel = pixel * box / support.shape[-1]
        maps = [
            DensityMap(
                unfiltered_map(sums_of(half, radius, self.operators), radius, box, len(support))
                * support,
                grid_pixel,
            )
            for half in halves
        ]
        alignment = align_maps(maps[1], maps[0])
        moved = apply_alignment(maps[1], alignment)
        curve = fourier_shell_correlation(maps[0].values, moved.values)
        second = halves[1]
        poses = Poses(second.rotations, second.shifts_pixel * pixel, second.confidence)
        poses = poses_after_alignment(poses, alignment)
        second = replace(
            second,
            rotations=poses.rotations.float(),
            shifts_pixel=(poses.shifts_angstrom / pixel).float(),
        )
        shells = torch.cat([torch.ones(1, dtype=curve.dtype), curve[: int(radius)]])
        return (halves[0], second), agreement_radius(shells, 0.5)


def monitor_rounds(monitor: Monitor) -> Callable[[int, int, RoundReport], None]:
    """What refinement calls after each round."""

    def report(done: int, total: int, told: RoundReport) -> None:
        monitor.progress("refine", done, total)
        monitor.log(event="round", **vars(told))

    return report


def gathered_poses(halves: Halves, half_set: np.ndarray, pixel_size_angstrom: float) -> Poses:
    """The poses of both halves in the order of the stack."""
    count = len(half_set)
    poses = Poses(torch.empty(count, 3, 3), torch.empty(count, 2), torch.empty(count))
    for number, half in enumerate(halves, 1):
        rows = torch.as_tensor(np.flatnonzero(half_set == number))
        poses.rotations[rows] = half.rotations
        poses.shifts_angstrom[rows] = half.shifts_pixel * pixel_size_angstrom
        poses.confidence[rows] = half.confidence
    return poses
