"""One half-set's side of a mixture: its images, their poses and weight in every class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.explore.setting import Setting
from cryospin.journal.tree import Tree
from cryospin.kernels import pose_losses
from cryospin.particles.source import ParticleSource
from cryospin.particles.spectrum import prior_precision
from cryospin.reconstruct.ready import Prepared
from cryospin.refine.halves import HalfSet, sums_of
from cryospin.volumes.gridded import SliceSums, map_of, map_to_volume, support_sphere

_NEXT_TO_NOTHING = 1e-3
_LEAST_JUNK = 1e-3  # fraction of images that may be junk, before any is known


@dataclass(frozen=True)
class ClassedHalf:
    """sets: of each class the poses that all images would have in it. weights: the probability
    of each image to belong to each class; what a row lacks to 1 is that of none, of junk."""

    sets: tuple[HalfSet, ...]
    weights: Float[Tensor, "n c"]

    @classmethod
    def of_one(cls, half: HalfSet) -> ClassedHalf:
        """All images in one class."""
        return cls((half,), torch.ones(len(half.particles), 1, device=half.particles.device))

    @property
    def particles(self) -> ParticleSource:
        return self.sets[0].particles

    @property
    def classes(self) -> int:
        return len(self.sets)

    @property
    def numbers(self) -> Int[Tensor, " n"]:
        """The likeliest class of each image, counted from 0; -1 for none."""
        return likeliest(self.weights)

    @property
    def fractions(self) -> Float[Tensor, " c"]:
        return self.weights.mean(dim=0)

    @property
    def tree(self) -> Tree:
        """Poses and weights, without the images."""
        return [each.poses for each in self.sets], self.weights

    @classmethod
    def recalled(cls, particles: ParticleSource, tree: Tree) -> ClassedHalf:
        """From such poses and weights."""
        poses, weights = tree
        return cls(tuple(HalfSet(particles, each) for each in poses), weights)

    def ordered(self, order: list[int]) -> ClassedHalf:
        """With its classes in another order."""
        return ClassedHalf(tuple(self.sets[c] for c in order), self.weights[:, order])

    @property
    def rows_by_class(self) -> list[Int[Tensor, " m"]]:
        """Of each class the images that are likeliest of it."""
        numbers = self.numbers
        return [torch.nonzero(numbers == number).flatten() for number in range(self.classes)]

    def members(self, number: int) -> HalfSet:
        """The images that are likeliest of a class."""
        return self.sets[number].select(self.rows_by_class[number])

    def sums(self, number: int, radius: float, operators: Float[Tensor, "s 3 3"]) -> SliceSums:
        """M-step of a class: every image by its weight."""
        weight = self.weights[:, number]
        least = min(_NEXT_TO_NOTHING, float(weight.max()))
        rows = torch.nonzero(weight >= least).flatten()
        chosen = self.sets[number].select(rows)
        weighed = chosen.with_poses(confidence=chosen.confidence * weight[rows])
        return sums_of(weighed, radius, operators)

    def densities(
        self, radius: float, setting: Setting, precision: Float[Tensor, " s"] | None = None
    ) -> list[Float[Tensor, "g g g"]]:
        """The map of each class, out to `radius`, as far as this half-set alone can tell.

        precision: `prior_precision` of the particles, where it is known: it takes all images.
        """
        particles = self.particles
        box = particles.disk.box
        support = support_sphere(box, radius, setting.support_radius, particles.device)
        if precision is None:
            precision = prior_precision(particles)
        return [
            map_of(self.sums(c, radius, setting.operators), precision, radius, box, support)
            for c in range(self.classes)
        ]

    def volumes(self, radius: float, setting: Setting) -> list[Complex[Tensor, "z y x"]]:
        """What slices of these maps are cut from."""
        box = self.particles.disk.box
        return [map_to_volume(each, box, radius) for each in self.densities(radius, setting)]


ClassedHalves = tuple[ClassedHalf, ClassedHalf]
"""Both half-sets in as many classes."""


def recalled_halves(prepared: Prepared, trees: Tree) -> ClassedHalves:
    """From the `tree` of each."""
    first, second = map(ClassedHalf.recalled, prepared, trees)
    return first, second


def likeliest(weights: Float[Tensor, "n c"]) -> Int[Tensor, " n"]:
    """The class of most weight; -1 where that of none is more."""
    most, number = weights.max(dim=1)
    return torch.where(most < 1 - weights.sum(dim=1), -1, number)


def class_losses(
    sets: tuple[HalfSet, ...], densities: list[Float[Tensor, "g g g"]], radius: float
) -> Float[Tensor, "n c"]:
    """Loss of each image in each class's map, at its pose there."""
    box = sets[0].particles.disk.box
    return torch.stack(
        [
            pose_losses(
                map_to_volume(density, box, radius),
                half.particles.images(radius),
                half.rotations,
                half.shifts_pixel,
            )
            for half, density in zip(sets, densities, strict=True)
        ],
        dim=1,
    )


def class_weights(
    log_likelihoods: Float[Tensor, "n c"],
    fractions: Float[Tensor, " c"],
    junk: Float[Tensor, " n"] | None = None,
) -> Float[Tensor, "n c"]:
    """Posterior of the classes, of which so many images are.

    junk: log likelihood of each image to show none of them; then the rest of the images are such.
    """
    prior = fractions.clamp_min(1e-6).log()
    if junk is None:
        return torch.softmax(prior + log_likelihoods, dim=1)
    rest = (1 - fractions.sum()).clamp_min(_LEAST_JUNK).log()
    joint = torch.cat([prior + log_likelihoods, (rest + junk)[:, None]], dim=1)
    return torch.softmax(joint, dim=1)[:, :-1]
