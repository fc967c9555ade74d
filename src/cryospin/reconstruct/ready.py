"""A stack made ready: the particle's size, two half-sets, their images read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.io.run_folder import COEFFICIENTS
from cryospin.journal.ranks import leads, led, of_halves
from cryospin.particles.absent import AbsentParticles
from cryospin.particles.diameter import ParticleSize, particle_size
from cryospin.particles.half_sets import split_half_sets
from cryospin.particles.prepare import Preparation
from cryospin.particles.source import ParticleSource
from cryospin.particles.stored import store_particles
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.point_group import AUTO
from cryospin.reconstruct.request import Request
from cryospin.rotations.symmetry import symmetry_group
from cryospin.types import ParticleStack

Prepared = tuple[ParticleSource, ParticleSource]
"""The images of both half-sets."""


@dataclass(frozen=True)
class Ready:
    """A stack in half-sets, what is asked of it, and what a search for its poses is given.

    half_set: 1 or 2 of each particle.
    """

    stack: ParticleStack
    half_set: Int[np.ndarray, " n"]
    size: ParticleSize
    request: Request
    setting: Setting

    def select(self, rows: Int[np.ndarray, " m"]) -> Ready:
        """Some of the particles, in the half-sets they are in."""
        return replace(self, stack=self.stack.select(rows), half_set=self.half_set[rows])

    def preparation(self, rows: Int[np.ndarray, " m"], **details: Any) -> Preparation:
        """How the images of some of the particles are read."""
        return Preparation.of(
            self.stack.select(rows),
            max_resolution_angstrom=self.request.max_resolution_angstrom,
            mask_diameter_angstrom=self.size.mask_diameter_angstrom,
            **details,
        )


def made_ready(stack: ParticleStack, request: Request, monitor: Monitor) -> tuple[Ready, Prepared]:
    """The half-sets read, and the setting fitted to the particle's size."""
    operators = imposed_from_the_start(request.symmetry).to(torch.device(request.device))
    shift_range = 0.05 * stack.box
    if request.max_shift_angstrom is not None:
        shift_range = request.max_shift_angstrom / stack.pixel_size_angstrom
    field = stack.box * stack.pixel_size_angstrom
    with monitor.stage("read"):
        given = request.particle_diameter_angstrom
        size = led(lambda: particle_size(stack, request.seed, shift_range, given))
        monitor.log(event="particle size", **size.summary())
        distance = 0.5 * (size.diameter_angstrom or 0.6 * field)
        half_set = split_half_sets(stack, request.seed, distance)
        seeds = request.seed, request.seed
        setting = Setting(operators, shift_range, size.support_radius(field), *seeds)
        ready = Ready(stack, half_set, size, request, setting)
        return ready, _read(ready, monitor)


def imposed_from_the_start(symmetry: str) -> Float[Tensor, "s 3 3"]:
    """The rotations of the group asked for; where it is to be found, of none."""
    return symmetry_group("C1" if symmetry == AUTO else symmetry).float()


def _read(ready: Ready, monitor: Monitor) -> Prepared:
    """Each half by whoever is to have it; the others know of it what they need."""
    request = ready.request
    here: dict[int, ParticleSource] = {}

    def read(number: int) -> tuple[float, Float[Tensor, "g s"], float]:
        half = number + 1
        preparation = ready.preparation(
            np.flatnonzero(ready.half_set == half),
            seed=request.seed,
            device=torch.device(request.device),
        )
        watched = (request.batch_size, partial(monitor.progress, f"read half-set {half}"))
        if request.scratch is None:
            here[number] = preparation.in_memory(*watched)
        else:
            path = request.scratch.folder / f"half{half}{COEFFICIENTS}"
            stored = partial(store_particles, preparation, path, request.scratch.key, *watched)
            if leads():
                stored()
            led(lambda: None)  # there for the others
            here[number] = stored()
        return preparation.disk.radius, preparation.noise_power, preparation.noise_level

    known = of_halves(read)

    def half_of(number: int) -> ParticleSource:
        if number in here:
            return here[number]
        some = ready.stack.select(np.flatnonzero(ready.half_set == number + 1))
        group = torch.as_tensor(some.optics_group)
        radius, power, level = known[number]
        disk, group = FourierDisk.of(some.box, radius), group.to(power.device)
        return AbsentParticles(disk, some.pixel_size_angstrom, some.uids, group, power, level)

    return half_of(0), half_of(1)
