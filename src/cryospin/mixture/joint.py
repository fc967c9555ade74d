"""Poses and classes of a half-set's images searched for at once, where common poses mislead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Complex
from torch import Tensor

from cryospin.explore.grid_step import GridStep
from cryospin.explore.patience import Patience, PatientSearch
from cryospin.explore.setting import Setting
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.particles.spectrum import information_per_image
from cryospin.refine.assign import GlobalAssignment
from cryospin.refine.halves import HalfSet

_INFORMATION_RADIUS = 6.0  # Fourier pixels, as of the search for one map

ClassProgress = Callable[[str, int, int], None]
"""Told of what is counted, how much of it is done and how much there is in all."""


@runtime_checkable
class JointSearch(Protocol):
    """Images of several structures in classes, from nothing. A frozen dataclass of
    hyper-parameters."""

    def run(
        self,
        half: HalfSet,
        classes: int,
        setting: Setting,
        assignment: GlobalAssignment,
        progress: ClassProgress,
    ) -> ClassedHalf:
        """The poses that the half-set has say nothing."""
        ...


@dataclass(frozen=True)
class PatientClasses:
    """EM over a grid of poses and the classes, from random maps, out to `radius` (Fourier pixels);
    then all images are searched for in all maps.

    Without momentum: a map that goes beyond its EM step takes the images of weaker ones, and two
    structures end in one map.
    """

    patience: Patience = Patience(shortest_march=24, held=1.0, momentum=0.0)
    radius: float = 9.0

    def run(
        self,
        half: HalfSet,
        classes: int,
        setting: Setting,
        assignment: GlobalAssignment,
        progress: ClassProgress,
    ) -> ClassedHalf:
        particles = half.particles
        radius = min(self.radius, particles.disk.radius)
        step = GridStep.of(particles, setting, 3, radius, fine_from=self.radius + 1)
        nats = max(information_per_image(particles, _INFORMATION_RADIUS), 1e-3)
        search = PatientSearch(self.patience, step, nats, classes)
        total = search.most_iterations
        climb = search.run(lambda done, look: progress("joint search", done, total))
        volumes = [step.map.volume(each, radius) for each in climb.sums]
        return placed(half, volumes, radius, setting, assignment, progress)


def placed(
    half: HalfSet,
    volumes: list[Complex[Tensor, "z y x"]],
    radius: float,
    setting: Setting,
    assignment: GlobalAssignment,
    progress: ClassProgress,
) -> ClassedHalf:
    """All images searched for in all maps, and their classes by how well these explain them."""
    sets, losses = [], []
    for number, volume in enumerate(volumes, 1):

        def told(done: int, total: int, number: int = number) -> None:
            progress(f"assign class {number}", done, total)

        found = assignment.run(volume, half.particles, radius, setting, told)
        sets.append(replace(half, poses=found))
        losses.append(found.loss)
    return ClassedHalf(tuple(sets), torch.softmax(-torch.stack(losses, dim=1), dim=1))
