"""Exhaustive exploration: stochastic EM over a grid of all orientations and shifts.

Random start, frequency marching, annealing, and a running closed-form map with forgetting.
Several starts race over the low frequencies; the one whose map explains held-out images best
goes on. What was tried and is absent is told in docs/method.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.explore.posterior import GridPosterior, grid_posterior
from cryospin.fourier.parity import ParityFold
from cryospin.kernels import margin_for, slice_volume
from cryospin.particles.draws import generator_for, particle_keys
from cryospin.particles.prepare import PreparedParticles
from cryospin.rotations.grid import OrientationGrid
from cryospin.rotations.sampling import random_rotations
from cryospin.volumes.gridded import (
    SliceSums,
    map_to_volume,
    spherical_support,
    volume_to_map,
    wiener_volume,
)


@dataclass(frozen=True)
class Exploration:
    """A half-set's map after exploration, as sums, and how the race of starts went.

    scores: mean log evidence of held-out images under each start's map when the race ended.
    """

    sums: SliceSums
    radius: float
    scores: tuple[float, ...]


@dataclass(frozen=True)
class ExhaustiveSearch:
    """Hyper-parameters. Radii are in Fourier pixels of the box, shifts in pixels.

    support_radius: of the sphere the particle lies in, in boxes.
    iterations_times_nats: a start's iterations, times the information an image carries: noisy
        images need slower marching, as they need bigger batches.

    first_temperature: below 1 at the start, rising to 1: hard assignments break the symmetry
        of a random start, soft ones average it into a ball.
    """

    starts: int = 3
    fewest_iterations: int = 28
    most_iterations: int = 150
    iterations_times_nats: float = 4000.0
    final_iterations: int = 6
    first_radius: float = 4.0
    race_radius: float = 9.0
    last_radius: float = 12.0
    first_forgetting: float = 1.0
    last_forgetting: float = 0.15
    first_temperature: float = 0.5
    held_out: int = 300
    shifts_per_axis: int = 3
    support_radius: float = 0.42

    def run(
        self,
        particles: PreparedParticles,
        operators: Float[Tensor, "s 3 3"],
        shift_range_pixel: float,
        seed: int,
        held_out_seed: int,
        progress: Callable[[str, int, int], None] = lambda label, done, total: None,
    ) -> Exploration:
        """Explore one half-set from random starts.

        Scores of different seeds can be compared where `held_out_seed` is the same.
        """
        setting = _Setting(self, particles, operators, shift_range_pixel, seed, held_out_seed)
        race = setting.race_iterations
        total = self.starts * race + self.final_iterations
        done = 0
        finishes: list[SliceSums] = []
        scores: list[float] = []
        for start in range(self.starts):
            sums = setting.random_start(start)
            for iteration in range(race):
                sums = setting.iterate(sums, start, iteration, setting.racing)
                done += 1
                progress(f"start {start + 1} of {self.starts}", done, total)
            finishes.append(sums)
            scores.append(setting.score(sums))
        winner = int(np.argmax(scores))
        sums = finishes[winner]
        everyone = np.arange(len(particles))
        for iteration in range(race, race + self.final_iterations):
            sums = setting.iterate(sums, winner, iteration, everyone)
            done += 1
            progress("best start", done, total)
        return Exploration(sums, self.last_radius, tuple(scores))


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
        order = np.argsort(particle_keys(held_out_seed, particles.uids, "held-out"), kind="stable")
        held_out = min(search.held_out, len(particles) // 10)
        self.held_out, self.racing = order[:held_out], order[held_out:]
        self.coarse, self.fine = OrientationGrid.of(3, 18), OrientationGrid.of(4, 24)
        self.margin = margin_for(search.last_radius)
        self.shift_range_pixel = shift_range_pixel
        # real-space grid: twice what the radius needs, so that the support mask is smooth
        self.grid = 4 * int(np.ceil(search.last_radius / 2 + 2))
        self.support = spherical_support(
            self.grid, search.support_radius * self.grid, 0.08 * self.grid
        )
        information = information_per_image(particles, search.first_radius + 2)
        self.batch = batch_size(information, len(particles))
        self.race_iterations = int(
            np.clip(
                search.iterations_times_nats / max(information, 1e-3),
                search.fewest_iterations,
                search.most_iterations,
            )
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
        temperature = search.first_temperature ** (1 - fraction)
        forgetting = (
            search.first_forgetting * (search.last_forgetting / search.first_forgetting) ** fraction
        )
        return radius, temperature, forgetting

    def random_start(self, start: int) -> SliceSums:
        """The sums of one batch at random orientations."""
        rng = generator_for(self.seed, "random start", start)
        rows = torch.as_tensor(rng.choice(self.racing, min(self.batch, len(self.racing)), False))
        disk = self.particles.disk.prefix(self.search.first_radius)
        images = self.particles.coefficients[rows][:, : len(disk)]
        ctf = self.particles.ctf[rows][:, : len(disk)]
        rotations = random_rotations(len(rows), rng)
        return SliceSums.inserted(
            images * ctf, ctf.square(), rotations, disk, self.margin, self.operators
        )

    def iterate(
        self, sums: SliceSums, start: int, iteration: int, members: np.ndarray
    ) -> SliceSums:
        """One batch: E-step on a freshly turned grid, M-step into the running sums."""
        radius, temperature, forgetting = self.schedule(iteration)
        rng = generator_for(self.seed, "iteration", start, iteration)
        rows = torch.as_tensor(rng.choice(members, min(self.batch, len(members)), replace=False))
        grid = self.turned_grid(radius, rng)
        offset = torch.as_tensor(rng.uniform(-0.25, 0.25, 2), dtype=torch.float32)
        posterior = self.posterior(sums, grid, rows, radius, temperature, offset)
        newer = SliceSums.inserted(
            posterior.numerator,
            posterior.denominator,
            grid.base,
            self.particles.disk.prefix(radius),
            self.margin,
            self.operators,
        )
        scale = len(self.particles) / len(rows)
        return sums.blended(newer, forgetting, scale)

    def turned_grid(self, radius: float, rng: np.random.Generator) -> OrientationGrid:
        """A random turn each time: no orientation is favoured by where the grid's points lie."""
        grid = self.coarse if radius < self.search.race_radius else self.fine
        return grid.turned(random_rotations(1, rng)[0]).asymmetric_unit(self.operators)

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
        shifts = torch.cartesian_prod(axis, axis) + offset * step
        return grid_posterior(
            slice_volume(self.volume(sums, radius), grid.base, disk),
            self.particles.coefficients[rows][:, : len(disk)],
            self.particles.ctf[rows][:, : len(disk)],
            shifts,
            torch.zeros(len(rows), 2),
            disk,
            ParityFold.of(disk),
            temperature,
        )

    def volume(self, sums: SliceSums, radius: float) -> Complex[Tensor, "z y x"]:
        box = self.particles.disk.box
        volume = wiener_volume(
            sums.numerator, sums.denominator, sums.self_prior(self.search.last_radius), radius
        )
        density = volume_to_map(volume, box, self.grid) * self.support
        return map_to_volume(density, box, self.search.last_radius)

    def score(self, sums: SliceSums) -> float:
        """Mean log evidence per held-out image at the race's last radius."""
        radius = self.search.race_radius
        rows = torch.as_tensor(self.held_out)
        posterior = self.posterior(
            sums, self.fine.asymmetric_unit(self.operators), rows, radius, 1.0, torch.zeros(2)
        )
        return float(posterior.evidence.mean())


def information_per_image(particles: PreparedParticles, radius: float) -> float:
    """Mean power above the noise within a radius, in nats: what a known pose would explain."""
    length = particles.disk.length_within(radius)
    excess = particles.coefficients[:, :length].abs().square().mean(dim=0) - 1.0
    return float(excess.sum().clamp_min(0.0))


def batch_size(information: float, count: int) -> int:
    """Images per iteration: the noisier, the more, for the map's signal to be the same."""
    return int(np.clip(300 * 100.0 / max(information, 1e-3), 300, min(2000, count)))
