"""Poses and classes of a half-set's images searched for at once, where common poses mislead."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from cryospin.explore.grid_step import GridStep
from cryospin.explore.patience import Patience, PatientSearch
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.mixture.image_search import ImageSearch
from cryospin.particles.spectrum import information_per_image
from cryospin.refine.halves import HalfSet

_INFORMATION_RADIUS = 6.0  # Fourier pixels, as of the search for one map


@runtime_checkable
class JointSearch(Protocol):
    """Images of several structures in classes, from nothing. A frozen dataclass of
    hyper-parameters."""

    def run(self, half: HalfSet, classes: int, search: ImageSearch) -> ClassedHalf:
        """The poses that the half-set has say nothing, nor does the radius of the search."""
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

    def run(self, half: HalfSet, classes: int, search: ImageSearch) -> ClassedHalf:
        particles = half.particles
        radius = min(self.radius, particles.disk.radius)
        step = GridStep.of(particles, search.setting, 3, radius, fine_from=self.radius + 1)
        nats = max(information_per_image(particles, _INFORMATION_RADIUS), 1e-3)
        patient = PatientSearch(self.patience, step, nats, classes)
        total = patient.most_iterations
        climb = patient.run(lambda done, look: search.progress("joint search", done, total))
        volumes = [step.map.volume(each, radius) for each in climb.sums]
        return replace(search, radius=radius).placed(half, volumes)
