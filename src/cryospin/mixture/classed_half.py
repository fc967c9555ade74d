"""One half-set's side of a mixture: its images, their poses and weight in every class."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cryospin.journal.tree import Tree
from cryospin.kernels import pose_losses
from cryospin.particles.prepare import PreparedParticles
from cryospin.refine.halves import HalfSet, sums_of
from cryospin.volumes.gridded import SliceSums, map_to_volume

_NEXT_TO_NOTHING = 1e-3


@dataclass(frozen=True)
class ClassedHalf:
    """sets: of each class the poses that all images would have in it. weights: the probability
    of each image to belong to each class."""

    sets: tuple[HalfSet, ...]
    weights: Float[Tensor, "n c"]

    @property
    def particles(self) -> PreparedParticles:
        return self.sets[0].particles

    @property
    def classes(self) -> int:
        return len(self.sets)

    @property
    def numbers(self) -> Int[Tensor, " n"]:
        """The likeliest class of each image."""
        return self.weights.argmax(dim=1)

    @property
    def fractions(self) -> Float[Tensor, " c"]:
        return self.weights.mean(dim=0)

    @property
    def tree(self) -> Tree:
        """Poses and weights, without the images."""
        return [(s.rotations, s.shifts_pixel, s.confidence) for s in self.sets], self.weights

    @classmethod
    def recalled(cls, particles: PreparedParticles, tree: Tree) -> ClassedHalf:
        """From such poses and weights."""
        poses, weights = tree
        return cls(tuple(HalfSet(particles, *each) for each in poses), weights)

    def ordered(self, order: list[int]) -> ClassedHalf:
        """With its classes in another order."""
        return ClassedHalf(tuple(self.sets[c] for c in order), self.weights[:, order])

    def members(self, number: int) -> HalfSet:
        """The images that are likeliest of a class."""
        rows = torch.nonzero(self.numbers == number).flatten()
        return self.sets[number].select(rows)

    def sums(self, number: int, radius: float, operators: Float[Tensor, "s 3 3"]) -> SliceSums:
        """M-step of a class: every image by its weight."""
        weight = self.weights[:, number]
        rows = torch.nonzero(weight > _NEXT_TO_NOTHING).flatten()
        chosen = self.sets[number].select(rows)
        weighed = replace(chosen, confidence=chosen.confidence * weight[rows])
        return sums_of(weighed, radius, operators)


def class_losses(
    sets: tuple[HalfSet, ...], densities: list[Float[Tensor, "g g g"]], radius: float
) -> Float[Tensor, "n c"]:
    """Loss of each image in each class's map, at its pose there."""
    disk = sets[0].particles.disk.prefix(radius)
    return torch.stack(
        [
            pose_losses(
                map_to_volume(density, disk.box, radius),
                half.particles.coefficients,
                half.particles.ctf,
                half.rotations,
                half.shifts_pixel,
                disk,
            )
            for half, density in zip(sets, densities, strict=True)
        ],
        dim=1,
    )


def class_weights(
    losses: Float[Tensor, "n c"], fractions: Float[Tensor, " c"]
) -> Float[Tensor, "n c"]:
    """Posterior of the classes, of which so many images are. Losses are negative logs of
    likelihoods (`kernels.pose_normal_equations`)."""
    return torch.softmax(fractions.clamp_min(1e-12).log() - losses, dim=1)
