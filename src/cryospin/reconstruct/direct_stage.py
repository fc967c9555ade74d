"""The second stage of CryoSPIN: each particle's pose is its own, and out of few candidates.

With several classes it has one in each, and the maps share each image out among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.explore.running_map import RunningMap
from cryospin.explore.setting import Setting
from cryospin.explore.winner_search import Volumes
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.parallel import CPU
from cryospin.particles.source import ParticleSource
from cryospin.poses import Assignment, PoseHypotheses
from cryospin.refine.assign import PolishedHypotheses
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.refine.halves import HalfSet, sums_of
from cryospin.types import DensityMap, Poses
from cryospin.volumes.alignment import align_maps, poses_after_alignment


@dataclass(frozen=True)
class DirectStage:
    """The second stage (CryoSPIN, section 4.2) with Gauss-Newton steps and closed-form maps.

    rounds: of poses, then map; the radius grows to its last over them. choosing: rounds in which
    each particle may still change to another head's candidate.
    """

    rounds: int = 10
    choosing: int = 6
    first_radius: float = 6.0
    choice: PolishedHypotheses = PolishedHypotheses(keep=4, polish=GaussNewton(steps=5))

    def run(
        self,
        volumes: Volumes,
        hypotheses: tuple[PoseHypotheses, ...],
        particles: ParticleSource,
        running: RunningMap,
        setting: Setting,
        journal: Journal = UNRECORDED,
        tell: Callable[[Assignment, float], None] = lambda poses, radius: None,
    ) -> tuple[HalfSet, ...]:
        """Every particle's pose in each class, out of its hypotheses there, and what the class's
        map made of it. Each map takes an image in by how much better it explains it than others.

        tell: called after each round with the best poses and the radius they were found at.
        """
        radii = np.linspace(self.first_radius, running.radius, self.rounds)
        done, found, hypotheses = journal.recalled() or (0, (), hypotheses)
        for number in range(done, self.rounds):
            if found:
                volumes = tuple(
                    running.volume(sums_of(half, running.radius, setting.operators), running.radius)
                    for half in weighed_by_class(particles, found)
                )
            part = journal.part(f"round{number + 1}")
            found = tuple(
                self.choice.run(
                    volume,
                    particles,
                    float(radii[number]),
                    setting,
                    some,
                    journal=part.part(f"class{c}"),
                )
                for c, (volume, some) in enumerate(zip(volumes, hypotheses, strict=True), 1)
            )
            last = number + 1 >= self.choosing
            hypotheses = tuple(
                with_current(some, poses, alone=last)
                for some, poses in zip(hypotheses, found, strict=True)
            )
            journal.keep(number + 1, found, hypotheses)
            tell(best_in_class(found), float(radii[number]))
        return tuple(HalfSet(particles, poses) for poses in found)


def class_posterior(found: Sequence[Assignment]) -> Float[Tensor, "n c"]:
    """Of each particle, where any class is as likely before its image is seen."""
    return torch.softmax(-torch.stack([poses.loss for poses in found], dim=1), dim=1)


def weighed_by_class(particles: ParticleSource, found: Sequence[Assignment]) -> list[HalfSet]:
    """All particles in each class, as sure as its map makes them."""
    weights = class_posterior(found).unbind(dim=1)
    halves = [HalfSet(particles, poses) for poses in found]
    return [
        half.with_poses(confidence=half.confidence * weight)
        for half, weight in zip(halves, weights, strict=True)
    ]


def best_in_class(found: Sequence[Assignment]) -> Assignment:
    """Each particle's pose in the class that explains it best."""
    number = torch.stack([poses.loss for poses in found]).argmin(dim=0)
    rows = torch.arange(len(number), device=number.device)
    return Assignment.joined(list(found)).select(number * len(rows) + rows)


def with_mirror_mates(
    hypotheses: PoseHypotheses, density: DensityMap, particles: ParticleSource, radius: float
) -> PoseHypotheses:
    """The hypotheses, and of each the pose that looks alike where the map is its own mirror image.

    A map at low frequencies nearly is, and takes in images of either hand alike: the poses of
    half of them then belong to the other hand (the mixture is stable, every image fits). Laid
    upon its mirror image the map shows which pose is the other one's. Alignments are applied to
    poses on the CPU: once for each training they go there and come back.
    """
    own, pixel = hypotheses.to(CPU), particles.pixel_size_angstrom
    finest = particles.resolution_angstrom(radius)
    alignment = align_maps(density, density, finest, hands=(True,))
    shape = own.shifts_pixel.shape[:2]
    poses = Poses(
        own.rotations.flatten(0, 1),
        own.shifts_pixel.flatten(0, 1) * pixel,
        torch.ones(shape[0] * shape[1]),
    )
    mates = poses_after_alignment(poses, alignment)
    rotations = mates.rotations.float().unflatten(0, shape)
    shifts = (mates.shifts_angstrom / pixel).float().unflatten(0, shape)
    return hypotheses.joined(PoseHypotheses(rotations, shifts).to(particles.device))


def with_current(hypotheses: PoseHypotheses, poses: Assignment, alone: bool) -> PoseHypotheses:
    """The poses as they are now, first in the list or the only ones."""
    return poses.alone() if alone else poses.alone().joined(hypotheses)
