"""The point group of a run's particle: looked for in its half-maps, then put to its images.

At the resolution of a map a particle may look symmetric that is not (subunits alike, a partner
bound to one of them). Its images tell more than the map: each half's are compared with the other
half's map as it is and with the group imposed. Where the group is the particle's, the latter has
the same signal and less noise and explains them better; where it is not, worse.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.explore.setting import Setting
from cryospin.journal.ranks import led, of_halves
from cryospin.particles.draws import generator_for
from cryospin.reconstruct.cross_check import polished_losses, sample_of
from cryospin.reconstruct.refinement import Halves, half_set_fsc, prior_of, unfiltered_map
from cryospin.refine.halves import after_alignment, sums_of
from cryospin.rotations.symmetry import symmetry_group
from cryospin.types import DensityMap
from cryospin.volumes.gridded import SliceSums, map_of, map_to_volume, support_sphere
from cryospin.volumes.point_group import MOST_SHELLS, PointGroup, find_point_group

AUTO = "auto"
"""What asks for the group to be found, in place of its name."""

_SAMPLE = 1000
_OBJECTION = 2.0


@dataclass(frozen=True)
class SymmetryFound:
    """What half-maps and images say of the particle's point group.

    in_the_map: the group of the half-maps, C1 where there is none.
    loss: what imposing it on the other half's map adds to an image's loss (nats), mean over a
        sample of both halves, and the error of that mean; below zero where images prefer it.
        None for C1.
    """

    in_the_map: PointGroup
    loss: tuple[float, float] | None = None

    @property
    def objection(self) -> float:
        """A mean loss from which on images object."""
        return 0.0 if self.loss is None else _OBJECTION * self.loss[1]

    @property
    def images_object(self) -> bool:
        return self.loss is not None and self.loss[0] > self.objection

    @property
    def name(self) -> str:
        """The group that maps and images agree on."""
        return "C1" if self.images_object else self.in_the_map.name

    @property
    def operators(self) -> Float[Tensor, "s 3 3"]:
        """The group's rotations about its axes where they are in the map that was searched."""
        turn = self.in_the_map.alignment.rotation.double()
        return turn.T @ symmetry_group(self.name).double() @ turn

    def summary(self) -> dict[str, Any]:
        """As result.json has it."""
        mean, error = self.loss or (None, None)
        return {
            "name": self.name,
            "in_the_map": self.in_the_map.name,
            "tried": [asdict(each) for each in self.in_the_map.tried],
            "resolution_angstrom": self.in_the_map.resolution_angstrom,
            "loss_when_imposed": mean,
            "loss_error": error,
        }


def find_symmetry(halves: Halves, setting: Setting) -> SymmetryFound:
    """The point group of two halves in one frame, reconstructed without any."""
    particles = halves[0].particles
    disk = particles.disk
    radius = min(float(MOST_SHELLS + 2), disk.radius)
    support = support_sphere(disk.box, radius, setting.support_radius, particles.device)
    pixel = particles.field_angstrom / len(support)

    def density(number: int) -> DensityMap:
        sums = sums_of(halves[number], radius, setting.operators)
        values = unfiltered_map(sums, radius, disk.box, len(support)) * support
        return DensityMap(values, pixel)

    half1, half2 = of_halves(density)
    group = led(lambda: find_point_group(half1, half2))
    if group.name == "C1":
        return SymmetryFound(group)
    placed = in_the_axes(halves, group)
    compared = particles.field_angstrom / group.resolution_angstrom
    loss = _loss_when_imposed(placed, group.name, min(compared, radius), setting)
    return SymmetryFound(group, loss)


def in_the_axes(halves: Halves, found: PointGroup) -> Halves:
    """The halves at poses that give the map with its group's axes where RELION has them."""
    first, second = (after_alignment(half, found.alignment) for half in halves)
    return first, second


def _loss_when_imposed(
    halves: Halves, name: str, radius: float, setting: Setting
) -> tuple[float, float]:
    """What a group adds to an image's loss in the other half's map, within `radius`: mean, error.

    Both maps are filtered by what the halves share without it.
    """
    box, device = halves[0].particles.disk.box, halves[0].particles.device
    support = support_sphere(box, radius, setting.support_radius, device)
    operators = symmetry_group(name).float().to(device)

    def both_sums(number: int) -> tuple[SliceSums, SliceSums]:
        half = halves[number]
        return sums_of(half, radius, setting.operators), sums_of(half, radius, operators)

    sums = of_halves(both_sums)
    curve = half_set_fsc((sums[0][0], sums[1][0]), radius, box, support)

    def added(number: int) -> Float[Tensor, " n"]:
        half = halves[number]
        sample = sample_of(half, generator_for(setting.seed, "symmetry", number), _SAMPLE // 2)
        volumes = [
            map_to_volume(map_of(s, prior_of(s, curve), radius, box, support), box, radius)
            for s in sums[1 - number]
        ]
        disk = half.particles.disk.prefix(radius)
        without, imposed = polished_losses(sample, (volumes[0], volumes[1]), disk)
        return (imposed - without).double().cpu()

    each = torch.cat(of_halves(added))
    return float(each.mean()), float(each.std() / len(each) ** 0.5)
