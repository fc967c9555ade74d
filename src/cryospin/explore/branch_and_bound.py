"""Exploration as cryoSPARC and cryoDRGN2 do it: a stochastic-gradient map, poses by bounds.

Punjani et al. 2017 (Nature Methods 14:290): mini-batches, momentum, a step preconditioned by
the running mean of the batches' curvature; each image's poses by branch and bound within the
present radius, which marches. Then the closed-form map of all images, each at its best pose,
and poses searched for once more in it (cryoDRGN2: Zhong et al. 2021, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.explore.bounded_search import BoundedSearch
from cryospin.explore.candidates import Candidates
from cryospin.explore.exploration import Exploration, ExplorerProgress, unheard
from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk, moved
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.kernels import margin_for, slice_volume
from cryospin.particles.draws import generator_for, held_out_split
from cryospin.particles.source import ParticleSource
from cryospin.particles.spectrum import prior_precision
from cryospin.poses import PoseHypotheses
from cryospin.rotations.sampling import random_rotations
from cryospin.volumes.gridded import (
    SliceSums,
    map_of,
    map_to_volume,
    support_sphere,
    volume_to_map,
    wiener_volume,
)

_BATCH = 200  # images whose candidates are in memory at once


@dataclass(frozen=True)
class BranchAndBound:
    """Hyper-parameters. Radii are in Fourier pixels of the box.

    starts: random maps that race for `race_iterations`, from `first_radius` to `race_radius`;
        the one that explains held-out images best goes on for `iterations`, to
        `marched_radius` by `march` of them. Closed-form maps of `passes` over all images, to
        `last_radius`, come after.
    batch: images of an iteration. weighed: candidates of an image that the gradient sums over,
        by their posterior weights. memory: of the running curvature.
    march_search, search: how poses are found while the map is made, and at the end.
    """

    starts: int = 3
    race_iterations: int = 80
    iterations: int = 100
    batch: int = 100
    weighed: int = 4
    step: float = 0.1
    momentum: float = 0.8
    memory: float = 0.9
    first_radius: float = 6.0
    race_radius: float = 7.5
    marched_radius: float = 14.0
    march: float = 0.7
    passes: int = 2
    last_radius: float = 20.0
    held_out: int = 200
    march_search: BoundedSearch = BoundedSearch(most_candidates=8, detail=1.5)
    search: BoundedSearch = BoundedSearch()
    one_thread: bool = True

    def run(
        self,
        particles: ParticleSource,
        setting: Setting,
        progress: ExplorerProgress = unheard,
        journal: Journal = UNRECORDED,
    ) -> Exploration:
        """Explore one half-set from random starts."""
        run = _Run(self, particles, setting)
        race = self.race_iterations
        total = self.starts * race + self.iterations + self.passes * run.batches

        def tell(label: str, first: int, done: int) -> None:
            progress(label, first + done, total)

        ends: list[_State] = []
        scores: list[tuple[float, float]] = []
        for start in range(self.starts):
            step = partial(tell, f"start {start + 1} of {self.starts}", start * race)
            raced = partial(run.raced, start, step, journal.part(f"race{start + 1}"))
            state, score = journal.once(f"start{start + 1}", raced)
            ends.append(state)
            scores.append(score)
        winner = int(np.argmax([mean for mean, _ in scores]))
        step = partial(tell, "best start", (self.starts - 1) * race)
        last = race + self.iterations
        state = run.marched(ends[winner], winner, race, last, step, journal.part("best"))
        step = partial(tell, "all images", self.starts * race + self.iterations)
        sums, best = run.settled(state.density, step, journal)
        hypotheses = PoseHypotheses(best.rotations[:, None], best.shifts_pixel[:, None])
        means = tuple(mean for mean, _ in scores)
        return Exploration(sums, run.last_radius, means, scores[winner][1], hypotheses)


@dataclass(frozen=True)
class _State:
    """The map being made, its velocity (real space), and the running curvature of batches."""

    density: Float[Tensor, "g g g"]
    velocity: Float[Tensor, "g g g"]
    curvature: Float[Tensor, "z y x"]


class _Run:
    """What belongs to one half-set; the state itself is passed in and out."""

    def __init__(self, method: BranchAndBound, particles: ParticleSource, setting: Setting):
        self.method, self.particles, self.setting = method, particles, setting
        self.held_out, self.members = held_out_split(
            setting.shared_seed, particles.uids, method.held_out
        )
        self.last_radius = min(method.last_radius, particles.disk.radius)
        self.marched_radius = min(method.marched_radius, self.last_radius)
        self.margin = margin_for(self.marched_radius)
        self.support = self._support(self.marched_radius)
        self.precision = prior_precision(particles)
        self.batches = -(-len(particles) // _BATCH)

    def _support(self, radius: float) -> Tensor:
        box, device = self.particles.disk.box, self.particles.device
        return support_sphere(box, radius, self.setting.support_radius, device)

    def radius_at(self, iteration: int) -> float:
        """Slow in the race, faster after it, and at rest in the end."""
        method = self.method
        after = iteration - method.race_iterations
        if after < 0:
            first, last = method.first_radius, method.race_radius
            fraction = iteration / method.race_iterations
        else:
            first, last = method.race_radius, self.marched_radius
            fraction = min(1.0, after / max(1.0, method.march * method.iterations))
        return min(first + fraction * (last - first), self.marched_radius)

    def _drawn(self, *purpose: object) -> tuple[Tensor, np.random.Generator]:
        """A batch of the images that are not held out."""
        rng = generator_for(self.setting.seed, *purpose)
        count = min(self.method.batch, len(self.members))
        return self.particles.rows(rng.choice(self.members, count, replace=False)), rng

    def random_start(self, start: int) -> _State:
        """The map of one batch at random orientations."""
        rows, rng = self._drawn("random start", start)
        radius = self.radius_at(0)
        images = self.particles.batch(rows, radius)
        values, weights = images.coefficients * images.ctf, images.ctf.square()
        rotations = random_rotations(len(rows), rng).to(rows.device)
        sums = self._inserted(values, weights, rotations, images.disk, len(rows))
        box = self.particles.disk.box
        density = map_of(sums, self.precision, radius, box, self.support)
        return _State(density, torch.zeros_like(density), sums.denominator)

    def _real(self, volume: Complex[Tensor, "z y x"]) -> Float[Tensor, "g g g"]:
        box = self.particles.disk.box
        return volume_to_map(volume, box, len(self.support)) * self.support

    def _inserted(
        self, values: Tensor, weights: Tensor, rotations: Tensor, disk: FourierDisk, images: int
    ) -> SliceSums:
        """Sums of a batch, scaled to stand for all images."""
        operators = self.setting.operators
        sums = SliceSums.inserted(values, weights, rotations, disk, self.margin, operators)
        scale = len(self.particles) / images
        return SliceSums(sums.numerator * scale, sums.denominator * scale)

    def raced(
        self, start: int, step: Callable[[int], None], journal: Journal
    ) -> tuple[_State, tuple[float, float]]:
        """Where a random start ends, and its score."""
        begin = self.random_start(start)
        state = self.marched(begin, start, 0, self.method.race_iterations, step, journal)
        return state, self.score(state.density)

    def marched(
        self,
        state: _State,
        start: int,
        first: int,
        last: int,
        step: Callable[[int], None],
        journal: Journal,
    ) -> _State:
        """The iterations from `first` to `last`."""
        done, state = journal.recalled() or (first, state)
        for iteration in range(done, last):
            state = self.iterate(state, start, iteration)
            step(iteration + 1)
            journal.keep(iteration + 1, state)
        return state

    def iterate(self, state: _State, start: int, iteration: int) -> _State:
        """One batch: v' = momentum v + step P^-1 (-gradient), map' = map + v' in the support.

        -gradient = sum_i sum_p w_ip C s* (x - C s P) - map / tau^2 is the residual inserted at
        each candidate; P = sum C^2 + 1 / tau^2, the larger of its running mean and the batch's.
        """
        method, radius = self.method, self.radius_at(iteration)
        rows, rng = self._drawn("iteration", start, iteration)
        images = self.particles.batch(rows, radius)
        disk = images.disk
        volume = map_to_volume(state.density, disk.box, self.marched_radius)
        found = method.march_search.run(volume, images, self.setting, rng)
        kept = found.capped(method.weighed, len(rows))
        weight = kept.weights(len(rows))[:, None]
        posed = images.select(kept.image)
        ctf = posed.ctf
        centred = moved(posed.coefficients * ctf, -kept.shifts_pixel, disk)
        residual = centred - ctf.square() * slice_volume(volume, kept.rotations, disk)
        sums = self._inserted(
            weight * residual, weight * ctf.square(), kept.rotations, disk, len(rows)
        )
        curvature = torch.lerp(sums.denominator, state.curvature, method.memory)
        bound = torch.maximum(curvature, sums.denominator)
        inside = wiener_volume(sums.numerator + bound * volume, bound, self.precision, radius)
        ahead = self._real(inside) - self._real(volume)
        velocity = method.momentum * state.velocity + method.step * ahead
        return _State(state.density + velocity, velocity, curvature)

    def score(self, density: Float[Tensor, "g g g"]) -> tuple[float, float]:
        """Mean log-likelihood of held-out images at their best poses, and its error."""
        radius = min(self.method.race_radius, self.marched_radius)
        volume = map_to_volume(density, self.particles.disk.box, self.marched_radius)
        rows, rng = self.particles.rows(self.held_out), generator_for(self.setting.seed, "score")
        images = self.particles.batch(rows, radius)
        found = self.method.march_search.run(volume, images, self.setting, rng)
        likelihood = -found.best(len(rows)).loss
        return float(likelihood.mean()), float(likelihood.std() / len(rows) ** 0.5)

    def settled(
        self, density: Float[Tensor, "g g g"], step: Callable[[int], None], journal: Journal
    ) -> tuple[SliceSums, Candidates]:
        """Poses of all images and the closed-form map of them, in turns."""
        radius = self.marched_radius
        for number in range(self.method.passes):
            volume = map_to_volume(density, self.particles.disk.box, radius)
            best = self.everyone(volume, radius, number, step, journal.part(f"pass{number + 1}"))
            # poses found within one radius show finer detail than was used
            radius = self.last_radius
            sums = self.closed_form(best, radius)
            density = self.density_of(sums, radius)
        return sums, best

    def everyone(
        self,
        volume: Tensor,
        radius: float,
        number: int,
        step: Callable[[int], None],
        journal: Journal,
    ) -> Candidates:
        """The best pose of every particle."""
        found: list[Candidates] = list(journal.recalled() or ())
        done = sum(map(len, found))
        batches = self.particles.batches(_BATCH, radius, done)
        for batch, (rows, images) in enumerate(batches, done // _BATCH):
            rng = generator_for(self.setting.seed, "everyone", number, batch)
            left = self.method.search.run(volume, images.contiguous(), self.setting, rng)
            found.append(replace(left.best(len(rows)), image=rows))
            step(number * self.batches + batch + 1)
            journal.keep(partial(Candidates.joined, *found))
        best = Candidates.joined(*found)
        journal.keep_now(best)
        return best

    def closed_form(self, best: Candidates, radius: float) -> SliceSums:
        """Sums of every image at its best pose."""
        return SliceSums.of_images(
            self.particles.images(radius),
            best.rotations,
            best.shifts_pixel,
            margin_for(radius),
            self.setting.operators,
        )

    def density_of(self, sums: SliceSums, radius: float) -> Float[Tensor, "g g g"]:
        box = self.particles.disk.box
        return map_of(sums, self.precision, radius, box, self._support(radius))
