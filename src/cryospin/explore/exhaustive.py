"""Exhaustive exploration: stochastic EM over a grid of all orientations and shifts.

Random start, frequency marching, annealing, and a running closed-form map with forgetting.
Several starts race over the low frequencies; the one whose map explains held-out images best
goes on. What was tried and is absent is told in docs/method.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.explore.exploration import Exploration, ExplorerProgress, Look, unheard
from cryospin.explore.grid_step import GridStep
from cryospin.explore.patience import Patience, PatientSearch
from cryospin.explore.polyhedral import PolyhedralSearch, polyhedral
from cryospin.explore.setting import Setting
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.particles.draws import generator_for, held_out_split
from cryospin.particles.source import ParticleSource
from cryospin.particles.spectrum import information_per_image
from cryospin.volumes.gridded import SliceSums


@dataclass(frozen=True)
class ExhaustiveSearch:
    """Hyper-parameters. Radii are in Fourier pixels of the box, shifts in pixels.

    iterations_times_nats, images_times_nats, temperature_times_nats: a start's iterations, the
        images of each, and the temperature it begins with, all times the information an image
        carries: the noisier, the slower, the more, the softer, each within its limits.
    patience: the schedule where images carry less than a race needs. polyhedral: there, that of
        particles with the symmetry of a polyhedron.
    """

    starts: int = 2
    iterations_times_nats: float = 2250.0
    fewest_iterations: int = 28
    most_iterations: int = 300
    images_times_nats: float = 13500.0
    fewest_images: int = 300
    most_images: int = 2000
    temperature_times_nats: float = 18.0
    highest_temperature: float = 2.0
    final_iterations: int = 6
    first_radius: float = 6.0
    race_radius: float = 9.0
    last_radius: float = 12.0
    first_forgetting: float = 1.0
    last_forgetting: float = 0.15
    held_out: int = 300
    shifts_per_axis: int = 3
    one_thread: bool = False
    patience: Patience = Patience()
    polyhedral: PolyhedralSearch = PolyhedralSearch()

    def run(
        self,
        particles: ParticleSource,
        setting: Setting,
        progress: ExplorerProgress = unheard,
        journal: Journal = UNRECORDED,
    ) -> Exploration:
        """Explore one half-set from random starts."""
        step = GridStep.of(
            particles,
            setting,
            self.shifts_per_axis,
            self.last_radius,
            fine_from=self.race_radius,
        )
        nats = max(information_per_image(particles, self.first_radius), 1e-3)
        if nats < self.patience.below_nats:
            if polyhedral(setting.operators):
                return self.polyhedral.run(particles, setting, nats, progress, journal)
            return self._patient(PatientSearch(self.patience, step, nats), progress, journal)
        return self._raced(_Race(self, step, nats), progress, journal)

    def _patient(
        self, search: PatientSearch, progress: ExplorerProgress, journal: Journal
    ) -> Exploration:
        """From one random start: another would end at the same map."""
        total = search.most_iterations
        found = search.run(
            lambda done, look: progress("patient start", done, total, look),
            journal.part("patient"),
        )
        score, uncertainty = found.score()
        return Exploration(
            found.sums[0], self.last_radius, (score,), uncertainty, rising=found.rising
        )

    def _raced(self, race: _Race, progress: ExplorerProgress, journal: Journal) -> Exploration:
        length = race.iterations
        total = self.starts * length + self.final_iterations

        def tell(label: str, first: int, done: int, look: Look) -> None:
            progress(label, first + done, total, look)

        finishes: list[SliceSums] = []
        evidence: list[Tensor] = []
        for start in range(self.starts):
            step = partial(tell, f"start {start + 1} of {self.starts}", start * length)
            raced = partial(race.run, start, step, journal.part(f"race{start + 1}"))
            sums, of_images = journal.once(f"start{start + 1}", raced)
            finishes.append(sums)
            evidence.append(of_images)
        means = tuple(float(each.mean()) for each in evidence)
        winner = int(np.argmax(means))
        step = partial(tell, "best start", self.starts * length)
        sums = race.sharpened(finishes[winner], winner, step, journal.part("best"))
        return Exploration(
            sums,
            self.last_radius,
            means,
            float(evidence[winner].std() / len(evidence[winner]) ** 0.5),
            starts=tuple(finishes),
            starts_radius=self.race_radius,
            evidence=evidence[winner],
        )


class _Race:
    """What all starts of one half-set share; the state itself is passed in and out."""

    def __init__(self, search: ExhaustiveSearch, step: GridStep, nats: float):
        self.search, self.step, self.seed = search, step, step.setting.seed
        self.held_out, self.racing = held_out_split(
            step.setting.shared_seed, step.particles.uids, search.held_out
        )

        def scaled(times_nats: float, lowest: float, highest: float) -> float:
            return float(np.clip(times_nats / nats, lowest, highest))

        self.iterations = round(
            scaled(search.iterations_times_nats, search.fewest_iterations, search.most_iterations)
        )
        self.batch = round(
            scaled(search.images_times_nats, search.fewest_images, search.most_images)
        )
        self.first_temperature = scaled(
            search.temperature_times_nats, 1.0, search.highest_temperature
        )

    def schedule(self, iteration: int) -> tuple[float, float, float]:
        """Radius, temperature and forgetting rate: all reach their ends with the race."""
        search = self.search
        fraction = min(1.0, iteration / self.iterations)
        if iteration < self.iterations:
            span = search.race_radius - search.first_radius
            radius = search.first_radius + fraction * span
        else:
            late = (iteration - self.iterations + 1) / (0.7 * search.final_iterations)
            span = search.last_radius - search.race_radius
            radius = search.race_radius + min(1.0, late) * span
        temperature = self.first_temperature ** (1 - fraction)
        forgetting = (
            search.first_forgetting * (search.last_forgetting / search.first_forgetting) ** fraction
        )
        return radius, temperature, forgetting

    def random_start(self, start: int) -> SliceSums:
        """The sums of one batch at random orientations."""
        rng = generator_for(self.seed, "random start", start)
        rows = self.step.particles.rows(
            rng.choice(self.racing, min(self.batch, len(self.racing)), False)
        )
        return self.step.random_start(rows, self.search.first_radius, rng)

    def run(
        self, start: int, step: Callable[[int, Look], None], journal: Journal
    ) -> tuple[SliceSums, Float[Tensor, " h"]]:
        """Where a random start ends, and its evidence."""
        done, sums = journal.recalled() or (0, self.random_start(start))
        for iteration in range(done, self.iterations):
            sums = self.iterate(sums, start, iteration, self.racing)
            step(iteration + 1, partial(self.density, sums, iteration))
            journal.keep(iteration + 1, sums)
        return sums, self.evidence(sums)

    def sharpened(
        self, sums: SliceSums, start: int, step: Callable[[int, Look], None], journal: Journal
    ) -> SliceSums:
        """The final iterations, over all particles."""
        everyone = np.arange(len(self.step.particles))
        done, sums = journal.recalled() or (0, sums)
        for number in range(done, self.search.final_iterations):
            sums = self.iterate(sums, start, self.iterations + number, everyone)
            step(number + 1, partial(self.density, sums, self.iterations + number))
            journal.keep(number + 1, sums)
        return sums

    def iterate(
        self, sums: SliceSums, start: int, iteration: int, members: np.ndarray
    ) -> SliceSums:
        """One batch: E-step on a freshly turned grid, M-step into the running sums."""
        radius, temperature, forgetting = self.schedule(iteration)
        rng = generator_for(self.seed, "iteration", start, iteration)
        rows = self.step.particles.rows(
            rng.choice(members, min(self.batch, len(members)), replace=False)
        )
        grid = self.step.turned_grid(radius, rng)
        offset = torch.as_tensor(rng.uniform(-0.25, 0.25, 2), dtype=torch.float32)
        volume = self.step.map.volume(sums, radius)
        posterior = self.step.posterior((volume,), grid, rows, radius, temperature, offset)
        newer = self.step.sums(posterior, grid, radius)
        return sums.blended(newer, forgetting, len(self.step.particles) / len(rows))

    def density(self, sums: SliceSums, iteration: int) -> Float[Tensor, "g g g"]:
        """The map after an iteration."""
        return self.step.map.density(sums, self.schedule(iteration)[0])

    def evidence(self, sums: SliceSums) -> Float[Tensor, " h"]:
        """Log evidence of each held-out image at the race's last radius."""
        radius = self.search.race_radius
        posterior = self.step.posterior(
            (self.step.map.volume(sums, radius),),
            self.step.fine.asymmetric_unit(self.step.setting.operators),
            self.step.particles.rows(self.held_out),
            radius,
            1.0,
            torch.zeros(2),
        )
        return posterior.evidence
