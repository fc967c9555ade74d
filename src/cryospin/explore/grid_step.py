"""E- and M-step over a whole grid of orientations and shifts: what every schedule of the
exhaustive search is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.explore.posterior import GridPosterior, grid_posterior
from cryospin.explore.running_map import RunningMap
from cryospin.explore.setting import Setting
from cryospin.fourier.disk import moved
from cryospin.fourier.image_batch import ImageBatch
from cryospin.kernels import slice_volume
from cryospin.particles.source import ParticleSource
from cryospin.rotations.grid import OrientationGrid
from cryospin.rotations.sampling import random_rotations
from cryospin.volumes.gridded import SliceSums


@dataclass(frozen=True)
class GridStep:
    """One half-set, the grids it is compared on, and the map's prior and support.

    fine_from: radius, in Fourier pixels, from which the fine grid takes the coarse one's place.
    centres: pixels by which each particle lies off the centre of its box; shifts are about them.
        None: about the centre of the box.
    """

    particles: ParticleSource
    setting: Setting
    shifts_per_axis: int
    map: RunningMap
    coarse: OrientationGrid
    fine: OrientationGrid
    fine_from: float
    centres: Float[Tensor, "n 2"] | None = None

    @classmethod
    def of(
        cls,
        particles: ParticleSource,
        setting: Setting,
        shifts_per_axis: int,
        last_radius: float,
        fine_from: float,
    ) -> GridStep:
        return cls(
            particles,
            setting,
            shifts_per_axis,
            RunningMap.of(particles, last_radius, setting.support_radius),
            OrientationGrid.of(3, 18).to(particles.device),
            OrientationGrid.of(4, 24).to(particles.device),
            fine_from,
        )

    def random_start(
        self, rows: Int[Tensor, " b"], radius: float, rng: np.random.Generator
    ) -> SliceSums:
        """The sums of some images at random orientations."""
        images = self.images(rows, radius)
        rotations = random_rotations(len(rows), rng).to(self.particles.device)
        return SliceSums.inserted(
            images.coefficients * images.ctf,
            images.ctf.square(),
            rotations,
            images.disk,
            self.map.margin,
            self.setting.operators,
        )

    def images(self, rows: Int[Tensor, " b"], radius: float) -> ImageBatch:
        """Some of them, centred."""
        images = self.particles.batch(rows, radius)
        if self.centres is None:
            return images
        centred = moved(images.coefficients, -self.centres[rows], images.disk)
        return replace(images, coefficients=centred)

    def shifts(self, per_axis: int | None = None) -> Float[Tensor, "t 2"]:
        """Evenly over those there are, in pixels."""
        shifts = self.setting.shifts_pixel(per_axis or self.shifts_per_axis)
        return shifts.to(self.particles.device)

    def turned_grid(self, radius: float, rng: np.random.Generator) -> OrientationGrid:
        """A random turn each time: no orientation is favoured by where the grid's points lie."""
        grid = self.coarse if radius < self.fine_from else self.fine
        turn = random_rotations(1, rng)[0].to(self.particles.device)
        return grid.turned(turn).asymmetric_unit(self.setting.operators)

    def posterior(
        self,
        volumes: Sequence[Complex[Tensor, "z y x"]],
        grid: OrientationGrid,
        rows: Int[Tensor, " b"],
        radius: float,
        temperature: float,
        offset: Float[Tensor, " 2"],
        class_prior: Float[Tensor, " c"] | None = None,
    ) -> GridPosterior:
        """The E-step of some images, over one volume or one of each class.

        offset: of the shifts' grid, in its steps. class_prior: the probability of each volume;
        None: of the only one.
        """
        images = self.images(rows, radius)
        step = 2 * self.setting.shift_range_pixel / self.shifts_per_axis
        shifts = self.shifts() + (offset * step).to(self.particles.device)
        slices = torch.cat([slice_volume(volume, grid.base, images.disk) for volume in volumes])
        return grid_posterior(slices, images, shifts, temperature, class_prior)

    def sums(
        self, posterior: GridPosterior, grid: OrientationGrid, radius: float, number: int = 0
    ) -> SliceSums:
        """The M-step: the grid's slices of a class, by its number, inserted."""
        own = slice(number * len(grid.base), (number + 1) * len(grid.base))
        return SliceSums.inserted(
            posterior.numerator[own],
            posterior.denominator[own],
            grid.base,
            self.particles.disk.prefix(radius),
            self.map.margin,
            self.setting.operators,
        )
