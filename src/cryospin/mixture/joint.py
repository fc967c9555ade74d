"""Poses and classes of a half-set's images searched for at once, where common poses mislead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Complex
from torch import Tensor

from cryospin.explore.grid_step import GridStep
from cryospin.explore.patience import Climb, Patience, PatientSearch
from cryospin.explore.setting import Setting
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.particles.spectrum import information_per_image
from cryospin.refine.assign import GlobalAssignment

ClassProgress = Callable[[str, int, int], None]
"""Told of what is counted, how much of it is done and how much there is in all."""


@runtime_checkable
class JointSearch(Protocol):
    """From classes at common poses to classes that each have poses of their own. A frozen
    dataclass of hyper-parameters."""

    def run(
        self,
        classed: ClassedHalf,
        setting: Setting,
        assignment: GlobalAssignment,
        progress: ClassProgress,
    ) -> ClassedHalf: ...


@dataclass(frozen=True)
class PatientClasses:
    """EM over a grid of poses and the classes, from the maps of the classes given, out to
    `radius` (Fourier pixels); then all images are searched for in all maps."""

    patience: Patience = Patience(first_radius=6.0, held=1.0)
    radius: float = 9.0

    def run(
        self,
        classed: ClassedHalf,
        setting: Setting,
        assignment: GlobalAssignment,
        progress: ClassProgress,
    ) -> ClassedHalf:
        particles, count, first = classed.particles, classed.classes, self.patience.first_radius
        radius = min(self.radius, particles.disk.radius)
        step = GridStep.of(particles, setting, 3, radius, fine_from=self.radius + 1)
        nats = max(information_per_image(particles, first), 1e-3)
        search = PatientSearch(self.patience, step, nats, count)
        sums = tuple(classed.sums(c, radius, setting.operators) for c in range(count))
        densities = tuple(step.map.density(each, first) for each in sums)
        even = torch.full((count,), 1 / count, device=particles.device)
        total = search.most_iterations
        climb = search.run(
            lambda done, look: progress("joint search", done, total),
            start=Climb(densities, densities, sums, even),
        )
        volumes = [step.map.volume(each, radius) for each in climb.sums]
        return placed(classed, volumes, radius, setting, assignment, progress)


def placed(
    classed: ClassedHalf,
    volumes: list[Complex[Tensor, "z y x"]],
    radius: float,
    setting: Setting,
    assignment: GlobalAssignment,
    progress: ClassProgress,
) -> ClassedHalf:
    """All images searched for in all maps, and their classes by how well these explain them."""
    sets, losses = [], []
    for number, (half, volume) in enumerate(zip(classed.sets, volumes, strict=True), 1):

        def told(done: int, total: int, number: int = number) -> None:
            progress(f"assign class {number}", done, total)

        found = assignment.run(volume, half.particles, radius, setting, told)
        sets.append(replace(half, poses=found))
        losses.append(found.loss)
    return ClassedHalf(tuple(sets), torch.softmax(-torch.stack(losses, dim=1), dim=1))
