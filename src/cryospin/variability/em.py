"""One half-set's subspace by expectation maximisation, from random coordinates; poses fixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.particles.draws import generator_for
from cryospin.variability.expectation import coordinates_of
from cryospin.variability.maximization import moment_sums, solved
from cryospin.variability.subspace import CentredImages, Coordinates, Subspace
from cryospin.volumes.gridded import map_to_volume, volume_to_map

_FIRST_SCALE_DEVIATION, _LEAST_SCALE_DEVIATION = 0.1, 1e-3


@dataclass(frozen=True)
class SubspaceEM:
    """How many components, and how long they are looked for."""

    components: int = 3
    iterations: int = 20
    seed: int = 0

    def run(
        self,
        images: CentredImages,
        mask: Float[Tensor, "g g g"],
        prior_precision: Float[Tensor, " s"],
        operators: Float[Tensor, "o 3 3"],
        half: int = 1,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> tuple[Subspace, Coordinates]:
        """The maps inside of `mask`, and the coordinates of every image in them.

        prior_precision: 1/tau^2 per shell, of the mean map and, at most, of a component.
        half: which half-set this is; each starts from random numbers of its own.
        """
        generator = generator_for(self.seed, "variability", half)
        drawn = generator.standard_normal((len(images), self.components))
        start = torch.as_tensor(drawn, dtype=torch.float32, device=mask.device)
        start = torch.cat([torch.ones_like(start[:, :1]), start], dim=1)
        width = self.components + 1
        coordinates = Coordinates(start, start.new_zeros(len(images), width, width), -torch.inf)
        prior = prior_precision.expand(width, -1)
        scale_deviation = _FIRST_SCALE_DEVIATION
        for done in range(self.iterations):
            subspace = _maps_of(images, coordinates, mask, prior, operators)
            coordinates = coordinates_of(images, _volumes_of(subspace, images), scale_deviation)
            basis, scale_deviation = _spread_of(coordinates, images.weight)
            subspace, coordinates = subspace.changed(basis), coordinates.changed(basis)
            progress(done + 1, self.iterations)
        return subspace, coordinates


def _maps_of(
    images: CentredImages,
    coordinates: Coordinates,
    mask: Float[Tensor, "g g g"],
    prior: Float[Tensor, "w s"],
    operators: Float[Tensor, "o 3 3"],
) -> Subspace:
    """M-step, and the maps inside of the mask alone."""
    sums = moment_sums(images, coordinates, operators)
    volumes = solved(*sums, prior, images.disk.radius)
    maps = [volume_to_map(each, images.disk.box, len(mask)) for each in volumes]
    return Subspace(torch.stack(maps) * mask)


def _spread_of(
    coordinates: Coordinates, weight: Float[Tensor, " n"]
) -> tuple[Float[Tensor, "w w"], float]:
    """The basis in which a is 1 on average and z has mean 0 and covariance I, uncorrelated with a;
    and the deviation of a.

    Where the images say that coordinates are spread otherwise than the prior has it, the maps
    take that up: the same model, in fewer iterations (parameter expansion; Liu, Rubin & Wu 1998,
    Biometrika 85:755).
    """
    share = (weight / weight.sum()).double()
    moments = torch.einsum("n,nab->ab", share, coordinates.moments.double())
    average = float(share @ coordinates.scale.double())
    basis = torch.linalg.cholesky(moments)
    basis[:, 0] *= average / basis[0, 0]
    variance = float(moments[0, 0]) / average**2 - 1.0
    return basis.float(), max(variance, _LEAST_SCALE_DEVIATION**2) ** 0.5


def _volumes_of(subspace: Subspace, images: CentredImages) -> Complex[Tensor, "w z y x"]:
    disk = images.disk
    return torch.stack([map_to_volume(each, disk.box, disk.radius) for each in subspace.maps])
