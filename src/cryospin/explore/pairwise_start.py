"""Exploration without random starts: poses of some images from pairs of them, then a map.

The poses are frozen while the first map warms up; then the images are searched for anew in it
while the radius marches. All other images are matched to the last map by whoever asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.explore.bounded_search import BoundedSearch
from cryospin.explore.candidates import Candidates
from cryospin.explore.exploration import Exploration, ExplorerProgress, unheard
from cryospin.explore.running_map import RunningMap
from cryospin.explore.setting import Setting
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.pairs.common_lines import PairPoses, PairProgress
from cryospin.pairs.images import check_asymmetric, check_images
from cryospin.parallel import CPU
from cryospin.particles.draws import generator_for, held_out_split
from cryospin.particles.source import ParticleSource
from cryospin.particles.spectrum import signal_power
from cryospin.volumes.gridded import SliceSums


@runtime_checkable
class PairSolver(Protocol):
    """From images to poses by what pairs of them say, on the CPU; a frozen dataclass."""

    def run(
        self,
        particles: ParticleSource,
        power: Float[Tensor, " s"],
        shift_range_pixel: float,
        progress: PairProgress = ...,
    ) -> PairPoses: ...


@dataclass(frozen=True)
class PairwiseStart:
    """Hyper-parameters. Radii are in Fourier pixels of the box.

    images: whose pairs are compared. radii: of the maps, the first of the frozen poses.
    """

    solver: PairSolver
    images: int = 500
    radii: tuple[float, ...] = (7.0, 8.5, 10.0, 12.0)
    held_out: int = 200
    search: BoundedSearch = BoundedSearch(most_candidates=8, detail=1.0)
    one_thread: bool = False

    @property
    def last_radius(self) -> float:
        return self.radii[-1]

    def run(
        self,
        particles: ParticleSource,
        setting: Setting,
        progress: ExplorerProgress = unheard,
        journal: Journal = UNRECORDED,
    ) -> Exploration:
        """Explore one half-set; the seed draws the images.

        Raises UsageError for a point group, BadDataError for images that make no pairs.
        """
        check_asymmetric(setting.operators)
        held_out, members = held_out_split(setting.shared_seed, particles.uids, self.held_out)
        rng = generator_for(setting.seed, "images of pairs")
        drawn = rng.choice(members, min(self.images, len(members)), replace=False)
        chosen = particles.select(np.sort(drawn))
        check_images(chosen)

        def solved() -> PairPoses:
            power = signal_power(particles).cpu()
            shift_range = setting.shift_range_pixel
            return self.solver.run(chosen.to(CPU), power, shift_range, progress)

        # solvers compute on the CPU: this is where images go there, and poses come back
        poses = journal.once("poses", solved).to(particles.device)
        run = _Run(self, chosen, setting)
        sums = run.marched(poses, lambda done: progress("first map", done, len(self.radii)))
        volume = run.map.volume(sums, self.last_radius)
        judged = run.searched(particles.select(held_out), volume, self.last_radius, "score")
        likelihood = -judged.best(len(held_out)).loss
        error = float(likelihood.std() / len(likelihood) ** 0.5)
        return Exploration(sums, self.last_radius, (float(likelihood.mean()),), error)


@dataclass(frozen=True)
class _Run:
    """What belongs to one half-set's images."""

    method: PairwiseStart
    particles: ParticleSource
    setting: Setting

    @property
    def map(self) -> RunningMap:
        last = min(self.method.last_radius, self.particles.disk.radius)
        return RunningMap.of(self.particles, last, self.setting.support_radius)

    def marched(self, poses: PairPoses, tell: Callable[[int], None]) -> SliceSums:
        """Sums of the last map."""
        # images that few others agree with stay out of the first map
        weight = (poses.consistency / poses.consistency.median().clamp_min(1e-6)).clamp(max=1.0)
        sums = self.sums(poses.rotations, poses.shifts_pixel, weight.square())
        for number, radius in enumerate(self.method.radii[:-1], 1):
            volume = self.map.volume(sums, radius)
            found = self.searched(self.particles, volume, radius, f"pass {number}")
            best = found.best(len(self.particles))
            sums = self.sums(best.rotations, best.shifts_pixel, torch.ones_like(best.loss))
            tell(number)
        return sums

    def sums(self, rotations: Tensor, shifts_pixel: Tensor, weight: Tensor) -> SliceSums:
        """Of all images at their poses, out to the last radius."""
        running = self.map
        return SliceSums.of_images(
            self.particles.images(running.radius),
            rotations,
            shifts_pixel,
            running.margin,
            self.setting.operators,
            weight,
        )

    def searched(
        self,
        particles: ParticleSource,
        volume: Complex[Tensor, "z y x"],
        radius: float,
        purpose: str,
    ) -> Candidates:
        """Poses of images in the map, batch by batch."""
        rng = generator_for(self.setting.seed, "pairwise start", purpose)
        return self.method.search.run(volume, particles.images(radius), self.setting, rng)
