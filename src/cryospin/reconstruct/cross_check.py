"""Would a half-set's particles have been put where they are by the other half's map?

A map made of images at wrong poses explains these very images: in their own half's map they
seem in place. The other half's map never saw them. Where both maps are of the particle, a search
in it finds the same poses; where both only look alike, it prefers others, by many nats. Losses
are compared, not angles, so that mates of a symmetry that was not imposed count as the same.

That a pose is found again does not make it right: the image and its noise are the same. How far it
can be believed is told by the posterior of all poses in the map that never saw the image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.explore.pose_weight import weight_near
from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.journal.ranks import of_halves
from cryospin.particles.draws import generator_for
from cryospin.refine.assign import GlobalAssignment
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.refine.halves import HalfSet
from cryospin.rotations.grid import OrientationGrid
from cryospin.volumes.gridded import map_to_volume

_POLISH = GaussNewton(steps=6)
# the verdict's own, whatever a recipe finds its poses by: verdicts of recipes are comparable
_SEARCH = GlobalAssignment(OrientationGrid.of(4, 24), polish=_POLISH)
_NEAR_DEGREES = 10.0
_WEIGHED = 30  # of each half: enough for a mean to be known to 5 %
_NATS = 6.0  # a pose less likely than another by e^6 would not have been chosen


@dataclass(frozen=True)
class CrossCheck:
    """particles: of both halves, that were looked at.

    found_again: share whose pose is, in the other half's map, within 6 nats of the best one.
    believed: mean posterior weight, in the other half's map, of the poses within 10 degrees of
        theirs, or of mates by the symmetry found: how many of the poses are about right.
    carried_over: what images gain over an empty map in the other half's map, over what they
        gain in their own.
    unexplained: share that gains next to nothing there, compared to most others.
    """

    particles: int
    found_again: float
    believed: float
    carried_over: float
    unexplained: float


def cross_check(
    halves: tuple[HalfSet, HalfSet],
    densities: tuple[Float[Tensor, "g g g"], Float[Tensor, "g g g"]],
    setting: Setting,
    radius: float,
    mates: Float[Tensor, "m 3 3"] | None = None,
    most: int = 300,
) -> CrossCheck:
    """Search `most` particles of each half over all poses in the other half's map: a grid, its
    peaks polished, as polished as the poses they are compared with.

    densities: the halves' filtered maps in units of the whitened images. radius: Fourier
    pixels to search within. mates: rotations of the map that make poses equal, of a symmetry that
    was found; default: those of the setting.
    """
    equal = setting if mates is None else replace(setting, operators=mates)

    def of_half(number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Gap and gains of each image of its sample, and what its pose weighs of a part of them."""
        rng = generator_for(setting.seed, "cross-check", number)
        sample = sample_of(halves[number], rng, most)
        particles = sample.particles
        disk = particles.disk.prefix(radius)
        own, other = (
            map_to_volume(densities[i], disk.box, disk.radius) for i in (number, 1 - number)
        )
        found = _SEARCH.run(other, particles, disk.radius, setting)
        there, here = polished_losses(sample, (other, own), disk)
        gains = particles.images(radius).empty_loss() - torch.stack([there, here])
        few = sample_of(sample, rng, _WEIGHED)
        images = few.particles.images(disk.radius)
        weight = weight_near(other, images, few.rotations, equal, _NEAR_DEGREES)
        return there - found.loss, gains, weight

    first, second = of_halves(of_half)
    gap, weight = (torch.cat([first[i], second[i]]) for i in (0, 2))
    there_each, here_each = torch.cat([first[1], second[1]], dim=1)
    carried, own_gain = float(there_each.sum()), float(here_each.sum())
    return CrossCheck(
        len(gap),
        float((gap < _NATS).double().mean()),
        float(weight.mean()),
        carried / own_gain if own_gain > 0 else 0.0,
        unexplained_share(there_each),
    )


def gain_elsewhere(
    half: HalfSet,
    own: Complex[Tensor, "z y x"],
    other: Complex[Tensor, "z y x"],
    radius: float,
    rng: np.random.Generator,
    most: int = 500,
) -> float:
    """How much better the other half's map explains this half's median image than its own does, as
    a share of what that image gains over an empty map in its own.

    A map is made of its own half's images and flatters them: between two good maps this is below
    zero. A tenth of a half's images in wrong places, and its own map is the worse one for all
    others of them. The median does not feel the misplaced ones, which only their own map explains.

    own, other: volumes in the frame of the half's poses, to be compared within `radius` (Fourier
    pixels). Each image may first move to the pose nearby that suits a map best.
    """
    sample, disk = sample_of(half, rng, most), half.particles.disk.prefix(radius)
    here, there = polished_losses(sample, (own, other), disk)
    gain = sample.particles.images(radius).empty_loss() - here
    return float((here - there).median() / gain.median().clamp_min(1.0))


def sample_of(half: HalfSet, rng: np.random.Generator, most: int) -> HalfSet:
    """At most so many of its particles, drawn at random."""
    count = len(half.particles)
    return half.select(torch.as_tensor(np.sort(rng.choice(count, min(most, count), replace=False))))


def polished_losses(
    half: HalfSet, volumes: tuple[Tensor, Tensor], disk: FourierDisk
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Each image's loss in either volume, at the pose nearby that suits it best."""
    images = half.particles.images(disk.radius)
    first, second = (
        _POLISH.refine(v, images, half.rotations, half.shifts_pixel).loss for v in volumes
    )
    return first, second


def unexplained_share(gains: Float[Tensor, " n"]) -> float:
    """Share of images whose gain lies far below that of the better ones, beyond what noise does.

    An image of the particle gains about its signal's energy E, give or take (2 E)^(1/2); CTF and
    view change E by less than a factor of two about its mean. The better quarter are of the
    particle even where half of the images are not.
    """
    typical = float(torch.quantile(gains, 0.75))
    least = 0.4 * typical - 2.0 * max(typical, 0.0) ** 0.5
    return float((gains < least).double().mean())
