"""The map while it is being explored: from running sums to the volume images are held against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.kernels import margin_for
from cryospin.particles.source import ParticleSource
from cryospin.particles.spectrum import prior_precision
from cryospin.volumes.gridded import SliceSums, map_of, map_to_volume, spherical_support


@dataclass(frozen=True)
class RunningMap:
    """What turns sums into a volume: a Wiener prior from the images' own power, and a support.

    radius: largest, in Fourier pixels of the box. precision: 1/tau^2 per shell.
    """

    box: int
    radius: float
    precision: Float[Tensor, " s"]
    support: Float[Tensor, "g g g"]

    @classmethod
    def of(cls, particles: ParticleSource, radius: float, support_radius: float) -> RunningMap:
        """support_radius: of the sphere the particle lies in, in boxes."""
        # real-space grid: twice what the radius needs, so that the support mask is smooth
        grid = 4 * int(np.ceil(radius / 2 + 2))
        support = spherical_support(grid, support_radius * grid, 0.08 * grid, particles.device)
        return cls(particles.disk.box, radius, prior_precision(particles), support)

    @property
    def margin(self) -> int:
        """Half-width of the sums' arrays."""
        return margin_for(self.radius)

    def density(self, sums: SliceSums, radius: float) -> Float[Tensor, "g g g"]:
        """The map of the sums within `radius`, inside the support."""
        return map_of(sums, self.precision, radius, self.box, self.support)

    def volume(self, sums: SliceSums, radius: float) -> Complex[Tensor, "z y x"]:
        """What slices of that map are cut from."""
        return map_to_volume(self.density(sums, radius), self.box, self.radius)
