"""The patient schedule: EM over all images, until the evidence no longer rises.

Where images tell little, EM is slow rather than stuck: stopped early it looks like a bad random
start. So every image takes part, the radius marches outward and is then held, each map goes
beyond the EM step by what the last step was worth (momentum), and the evidence, which the E-step
gives for free, says when to end. Random starts then end at the same map (docs/method.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cryospin.explore.exploration import Look
from cryospin.explore.grid_step import GridStep
from cryospin.explore.posterior import GridPosterior
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.particles.draws import generator_for, particle_keys
from cryospin.volumes.gridded import SliceSums, map_to_volume

_SIGMAS = 2.0


@dataclass(frozen=True)
class Patience:
    """Hyper-parameters. Radii are in Fourier pixels.

    below_nats: images that tell less than this each (within the search's first radius) are
        searched patiently.
    march_times_nats: iterations in which radius and batch grow, times the information an image
        carries, within limits. held: iterations at the last radius, at most, of those.
    first_images_times_nats, most_images_times_nats: images of the first iteration, and of the
        last, times that information, `fewest_images` at least: more would say no more.
    temperature: of the posterior; 1 is the images' own.
    momentum: by which share of the last step the map goes beyond the next one.
    cycle: iterations after which the same turns of the grid come again, so that evidence is
        compared on one and the same grid.
    """

    below_nats: float = 36.0
    march_times_nats: float = 400.0
    shortest_march: int = 12
    longest_march: int = 60
    held: float = 6.0
    first_images_times_nats: float = 27_000.0
    most_images_times_nats: float = 270_000.0
    fewest_images: int = 500
    first_radius: float = 4.0
    temperature: float = 1.0
    momentum: float = 0.85
    cycle: int = 6

    def march(self, nats: float) -> int:
        """Iterations in which the radius grows."""
        wanted = np.clip(self.march_times_nats / nats, self.shortest_march, self.longest_march)
        return self.cycle * round(float(wanted) / self.cycle)

    def most_iterations(self, nats: float) -> int:
        """Whole cycles: enough to see whether the evidence rises, and a last, plain one."""
        held = max(2, round(self.held * self.march(nats) / self.cycle))
        return self.march(nats) + self.cycle * (held + 1)

    def batch(self, iteration: int, nats: float, particles: int, classes: int = 1) -> int:
        """Images of an iteration: from few to all, or to enough, by a constant factor."""
        first, last = (
            min(particles, classes * max(self.fewest_images, round(times / nats)))
            for times in (self.first_images_times_nats, self.most_images_times_nats)
        )
        grown = min(1.0, iteration / self.march(nats))
        return round(first * (last / first) ** grown)

    def radius(self, iteration: int, nats: float, last_radius: float) -> float:
        grown = min(1.0, iteration / self.march(nats))
        return self.first_radius + grown * (last_radius - self.first_radius)


@dataclass(frozen=True)
class Climb:
    """Where a patient search has got to; of each class a map.

    references: the maps images are compared with next. mapped: the last EM maps, which explain
    the images no worse than the references before them. sums: those they were made of.
    prior: the probability of each class in the next E-step.
    evidence: mean per image of each iteration. fractions: of the images in each class, of each
    iteration. cycle, before: each image's evidence at the last radius, summed over the cycle
    under way, and its mean over the last whole one. rising: whether it rose from one cycle to
    the next when last looked at. plain: of the iterations, how many of the last cycle, which are
    plain EM.
    """

    references: tuple[Float[Tensor, "g g g"], ...]
    mapped: tuple[Float[Tensor, "g g g"], ...]
    sums: tuple[SliceSums, ...]
    prior: Float[Tensor, " c"]
    evidence: tuple[float, ...] = ()
    fractions: tuple[Float[Tensor, " c"], ...] = ()
    cycle: Float[Tensor, " b"] | None = None
    before: Float[Tensor, " b"] | None = None
    rising: bool = True
    plain: int = 0

    @property
    def done(self) -> int:
        """Iterations."""
        return len(self.evidence)

    def score(self) -> tuple[float, float]:
        """Mean log evidence per image over the last cycle, and its error."""
        assert self.before is not None, "a search lasts for two cycles at least"
        return float(self.before.mean()), float(self.before.std() / len(self.before) ** 0.5)


@dataclass(frozen=True)
class PatientSearch:
    """A half-set searched patiently. nats: information an image carries.

    Images and turns of the grid depend on the seed that is shared, the random start on its own:
    evidence of several starts can be compared.

    classes: maps searched for at once, each from a random start of its own. Their weights are
    held so that each gets as many images, or the first to tell something would take all of them.
    """

    method: Patience
    step: GridStep
    nats: float
    classes: int = 1

    @property
    def most_iterations(self) -> int:
        return self.method.most_iterations(self.nats)

    def run(
        self,
        told: Callable[[int, Look], None] = lambda done, look: None,
        journal: Journal = UNRECORDED,
    ) -> Climb:
        """From random orientations to where the evidence no longer rises, or iterations end."""
        keys = particle_keys(
            self.step.setting.shared_seed, self.step.particles.uids, "patient batch"
        )
        order = self.step.particles.rows(np.argsort(keys, kind="stable"))
        recalled = journal.recalled()
        climb: Climb = recalled[0] if recalled else self._begun(order)
        while climb.plain < self.method.cycle:
            climb = self._next(climb, order)
            told(climb.done, partial(_first, climb.mapped))
            journal.keep(climb)
        return climb

    def _at_its_end(self, climb: Climb) -> bool:
        """What is left is a cycle of plain EM: what momentum makes of the turns of the grid is
        noise."""
        return not climb.rising or climb.done >= self.most_iterations - self.method.cycle

    def _begun(self, order: Int[Tensor, " n"]) -> Climb:
        radius = self.method.first_radius
        rng = generator_for(self.step.setting.seed, "patient start")
        sums = tuple(
            self.step.random_start(order[number :: self.classes], radius, rng)
            for number in range(self.classes)
        )
        densities = tuple(self.step.map.density(each, radius) for each in sums)
        prior = torch.full((self.classes,), 1 / self.classes, device=order.device)
        return Climb(densities, densities, sums, prior)

    def _next(self, climb: Climb, order: Int[Tensor, " n"]) -> Climb:
        step, method, number = self.step, self.method, climb.done
        radius = method.radius(number, self.nats, step.map.radius)
        rows = order[: method.batch(number, self.nats, len(order), self.classes)]
        posterior, sums = self._expected(climb, rows, radius)
        mapped = tuple(step.map.density(each, radius) for each in sums)
        evidence = (*climb.evidence, float(posterior.evidence.mean()))
        weight = posterior.class_weight.mean(0)
        held = replace(
            climb,
            prior=balanced(climb.prior, weight),
            evidence=evidence,
            fractions=(*climb.fractions, weight),
        )
        if number >= method.march(self.nats):
            held = watched(held, posterior.evidence, method.cycle)
        if self._at_its_end(climb):
            kept = replace(held, references=mapped, mapped=mapped, sums=sums)
            return replace(kept, rising=climb.rising, plain=climb.plain + 1)
        if dropped(evidence, method.cycle):
            return replace(held, references=climb.mapped)
        references = tuple(
            new + method.momentum * (new - old)
            for new, old in zip(mapped, climb.mapped, strict=True)
        )
        return replace(held, references=references, mapped=mapped, sums=sums)

    def _expected(
        self, climb: Climb, rows: Int[Tensor, " b"], radius: float
    ) -> tuple[GridPosterior, tuple[SliceSums, ...]]:
        """The E-step of some images, and the sums of each class, as of all images."""
        step = self.step
        turn = climb.done % self.method.cycle
        rng = generator_for(step.setting.shared_seed, "patient turn", turn)
        grid = step.turned_grid(radius, rng)
        offset = torch.as_tensor(rng.uniform(-0.25, 0.25, 2), dtype=torch.float32)
        box = step.particles.disk.box
        volumes = [map_to_volume(each, box, step.map.radius) for each in climb.references]
        prior = climb.prior if self.classes > 1 else None
        temperature = self.method.temperature
        posterior = step.posterior(volumes, grid, rows, radius, temperature, offset, prior)
        scale = len(step.particles) / len(rows)
        return posterior, tuple(
            step.sums(posterior, grid, radius, number).scaled(scale)
            for number in range(self.classes)
        )


def balanced(prior: Float[Tensor, " c"], weight: Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    """The prior under which classes of these weights come nearer to equal ones."""
    raised = prior * (1 / (len(prior) * weight.clamp_min(1e-3))).sqrt()
    return raised / raised.sum()


def dropped(evidence: tuple[float, ...], cycle: int) -> bool:
    """Whether the last map explains the images worse than the one compared on the same grid, a
    cycle before: it went too far."""
    return len(evidence) > cycle and evidence[-1] < evidence[-1 - cycle]


def watched(climb: Climb, evidence: Float[Tensor, " b"], cycle: int) -> Climb:
    """The climb after one more iteration at the last radius; at the end of each cycle it is
    decided whether the evidence still rises."""
    total = evidence if climb.cycle is None else climb.cycle + evidence
    if climb.done % cycle:
        return replace(climb, cycle=total)
    mean = total / cycle
    rising = climb.before is None or rises(climb.before, mean)
    return replace(climb, cycle=None, before=mean, rising=rising)


def rises(before: Float[Tensor, " b"], after: Float[Tensor, " b"]) -> bool:
    """Whether the mean evidence of the same images rose by more than twice its error."""
    rise = after - before
    return bool(rise.mean() > _SIGMAS * rise.std() / len(rise) ** 0.5)


def _first(maps: tuple[Tensor, ...]) -> Tensor:
    return maps[0]
