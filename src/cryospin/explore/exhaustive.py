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

from cryospin.explore.exploration import Exploration, ExplorerProgress
from cryospin.explore.posterior import GridPosterior, grid_posterior
from cryospin.explore.running_map import RunningMap
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.kernels import slice_volume
from cryospin.particles.draws import generator_for, held_out_split
from cryospin.particles.prepare import PreparedParticles
from cryospin.particles.spectrum import information_per_image
from cryospin.rotations.grid import OrientationGrid
from cryospin.rotations.sampling import random_rotations
from cryospin.volumes.gridded import SliceSums


@dataclass(frozen=True)
class ExhaustiveSearch:
    """Hyper-parameters. Radii are in Fourier pixels of the box, shifts in pixels.

    support_radius: of the sphere the particle lies in, in boxes.
    iterations_times_nats, images_times_nats, temperature_times_nats: a start's iterations, the
        images of each, and the temperature it begins with, all times the information an image
        carries: the noisier, the slower, the more, the softer, each within its limits.
    """

    starts: int = 2
    iterations_times_nats: float = 5000.0
    fewest_iterations: int = 28
    most_iterations: int = 300
    images_times_nats: float = 30000.0
    fewest_images: int = 300
    most_images: int = 2000
    temperature_times_nats: float = 40.0
    highest_temperature: float = 2.0
    final_iterations: int = 6
    first_radius: float = 6.0
    race_radius: float = 9.0
    last_radius: float = 12.0
    first_forgetting: float = 1.0
    last_forgetting: float = 0.15
    held_out: int = 300
    shifts_per_axis: int = 3
    support_radius: float = 0.42
    one_thread: bool = False

    def run(
        self,
        particles: PreparedParticles,
        operators: Float[Tensor, "s 3 3"],
        shift_range_pixel: float,
        seed: int,
        held_out_seed: int,
        progress: ExplorerProgress = lambda label, done, total: None,
        journal: Journal = UNRECORDED,
    ) -> Exploration:
        """Explore one half-set from random starts.

        Scores of different seeds can be compared where `held_out_seed` is the same.
        """
        setting = _Setting(self, particles, operators, shift_range_pixel, seed, held_out_seed)
        race = setting.race_iterations
        total = self.starts * race + self.final_iterations

        def tell(label: str, first: int, done: int) -> None:
            progress(label, first + done, total)

        finishes: list[SliceSums] = []
        scores: list[tuple[float, float]] = []
        for start in range(self.starts):
            step = partial(tell, f"start {start + 1} of {self.starts}", start * race)
            raced = partial(setting.raced, start, step, journal.part(f"race{start + 1}"))
            sums, score = journal.once(f"start{start + 1}", raced)
            finishes.append(sums)
            scores.append(score)
        means = tuple(mean for mean, _ in scores)
        winner = int(np.argmax(means))
        step = partial(tell, "best start", self.starts * race)
        sums = setting.sharpened(finishes[winner], winner, step, journal.part("best"))
        return Exploration(
            sums,
            self.last_radius,
            means,
            scores[winner][1],
            starts=tuple(finishes),
            starts_radius=self.race_radius,
        )


class _Setting:
    """What all starts of one half-set share; the state itself is passed in and out."""

    def __init__(
        self,
        search: ExhaustiveSearch,
        particles: PreparedParticles,
        operators: Tensor,
        shift_range_pixel: float,
        seed: int,
        held_out_seed: int,
    ):
        self.search, self.particles, self.operators, self.seed = search, particles, operators, seed
        self.held_out, self.racing = held_out_split(held_out_seed, particles.uids, search.held_out)
        self.device = particles.device
        self.coarse = OrientationGrid.of(3, 18).to(self.device)
        self.fine = OrientationGrid.of(4, 24).to(self.device)
        self.shift_range_pixel = shift_range_pixel
        self.map = RunningMap.of(particles, search.last_radius, search.support_radius)
        nats = max(information_per_image(particles, search.first_radius), 1e-3)

        def scaled(times_nats: float, lowest: float, highest: float) -> float:
            return float(np.clip(times_nats / nats, lowest, highest))

        self.race_iterations = round(
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
        fraction = min(1.0, iteration / self.race_iterations)
        if iteration < self.race_iterations:
            span = search.race_radius - search.first_radius
            radius = search.first_radius + fraction * span
        else:
            late = (iteration - self.race_iterations + 1) / (0.7 * search.final_iterations)
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
        chosen = rng.choice(self.racing, min(self.batch, len(self.racing)), False)
        rows = self.particles.rows(chosen)
        disk = self.particles.disk.prefix(self.search.first_radius)
        images = self.particles.coefficients[rows, : len(disk)]
        ctf = self.particles.ctf[rows, : len(disk)]
        rotations = random_rotations(len(rows), rng).to(self.device)
        return SliceSums.inserted(
            images * ctf, ctf.square(), rotations, disk, self.map.margin, self.operators
        )

    def raced(
        self, start: int, step: Callable[[int], None], journal: Journal
    ) -> tuple[SliceSums, tuple[float, float]]:
        """Where a random start ends, and its score."""
        done, sums = journal.recalled() or (0, self.random_start(start))
        for iteration in range(done, self.race_iterations):
            sums = self.iterate(sums, start, iteration, self.racing)
            step(iteration + 1)
            journal.keep(iteration + 1, sums)
        return sums, self.score(sums)

    def sharpened(
        self, sums: SliceSums, start: int, step: Callable[[int], None], journal: Journal
    ) -> SliceSums:
        """The final iterations, over all particles."""
        everyone = np.arange(len(self.particles))
        done, sums = journal.recalled() or (0, sums)
        for number in range(done, self.search.final_iterations):
            sums = self.iterate(sums, start, self.race_iterations + number, everyone)
            step(number + 1)
            journal.keep(number + 1, sums)
        return sums

    def iterate(
        self, sums: SliceSums, start: int, iteration: int, members: np.ndarray
    ) -> SliceSums:
        """One batch: E-step on a freshly turned grid, M-step into the running sums."""
        radius, temperature, forgetting = self.schedule(iteration)
        rng = generator_for(self.seed, "iteration", start, iteration)
        chosen = rng.choice(members, min(self.batch, len(members)), replace=False)
        rows = self.particles.rows(chosen)
        grid = self.turned_grid(radius, rng)
        offset = torch.as_tensor(rng.uniform(-0.25, 0.25, 2), dtype=torch.float32)
        posterior = self.posterior(sums, grid, rows, radius, temperature, offset)
        newer = SliceSums.inserted(
            posterior.numerator,
            posterior.denominator,
            grid.base,
            self.particles.disk.prefix(radius),
            self.map.margin,
            self.operators,
        )
        scale = len(self.particles) / len(rows)
        return sums.blended(newer, forgetting, scale)

    def turned_grid(self, radius: float, rng: np.random.Generator) -> OrientationGrid:
        """A random turn each time: no orientation is favoured by where the grid's points lie."""
        grid = self.coarse if radius < self.search.race_radius else self.fine
        turn = random_rotations(1, rng)[0].to(self.device)
        return grid.turned(turn).asymmetric_unit(self.operators)

    def posterior(
        self,
        sums: SliceSums,
        grid: OrientationGrid,
        rows: Tensor,
        radius: float,
        temperature: float,
        offset: Tensor,
    ) -> GridPosterior:
        disk = self.particles.disk.prefix(radius)
        count = self.search.shifts_per_axis
        step = 2 * self.shift_range_pixel / count
        axis = (torch.arange(count) - (count - 1) / 2) * step
        shifts = (torch.cartesian_prod(axis, axis) + offset * step).to(self.device)
        return grid_posterior(
            slice_volume(self.map.volume(sums, radius), grid.base, disk),
            self.particles.coefficients[rows, : len(disk)],
            self.particles.ctf[rows, : len(disk)],
            shifts,
            disk,
            temperature,
        )

    def score(self, sums: SliceSums) -> tuple[float, float]:
        """Mean log evidence per held-out image at the race's last radius, and its error."""
        radius = self.search.race_radius
        rows = self.particles.rows(self.held_out)
        posterior = self.posterior(
            sums, self.fine.asymmetric_unit(self.operators), rows, radius, 1.0, torch.zeros(2)
        )
        evidence = posterior.evidence
        return float(evidence.mean()), float(evidence.std() / len(evidence) ** 0.5)
