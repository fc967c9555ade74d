"""The nouns of linear variability: maps along components, and each particle's coordinates.

The model of one half-set's whitened images is a probabilistic principal component analysis seen
through the microscope (Tagare et al. 2015, J. Struct. Biol. 191:245; Punjani & Fleet 2021,
J. Struct. Biol. 213:107702):

    x_i = C_i s_i P_i (a_i V_0 + sum_j z_ij V_j) + noise,   z_i ~ N(0, I),   a_i ~ N(1, sigma^2),

with C the transfer function, s the shift and P the central slice at the particle's pose, all
known. a_i, the image's scale, takes up what would otherwise be a component like V_0 itself: the
ice's thickness, and how images were normalised. Letters of shapes: c components, w = 1 + c of
them with the mean.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.fourier.disk import FourierDisk, moved
from cryospin.parallel import in_blocks_on
from cryospin.refine.halves import HalfSet

_BLOCK = 50  # images that one thread centres at once


@dataclass(frozen=True)
class Subspace:
    """V_0 in `maps[0]`, then the components V_1 ... V_c, each of one standard deviation."""

    maps: Float[Tensor, "w g g g"]

    @property
    def mean(self) -> Float[Tensor, "g g g"]:
        return self.maps[0]

    @property
    def components(self) -> Float[Tensor, "c g g g"]:
        return self.maps[1:]

    def changed(self, basis: Float[Tensor, "w w"]) -> Subspace:
        """V'_j = sum_l V_l basis_lj: the maps for `Coordinates.changed` of the same basis."""
        return Subspace(torch.einsum("lzyx,lj->jzyx", self.maps, basis))


@dataclass(frozen=True)
class Coordinates:
    """What one half-set's images say of (a, z): the posterior's mean and covariance.

    log_evidence: of an image on average, in nats, up to a constant of the data.
    """

    mean: Float[Tensor, "n w"]
    covariance: Float[Tensor, "n w w"]
    log_evidence: float

    @property
    def scale(self) -> Float[Tensor, " n"]:
        """a of each image."""
        return self.mean[:, 0]

    @property
    def along(self) -> Float[Tensor, "n c"]:
        """z of each image."""
        return self.mean[:, 1:]

    @property
    def deviation(self) -> Float[Tensor, "n c"]:
        """The standard deviation of z in each image's posterior."""
        return self.covariance.diagonal(dim1=1, dim2=2)[:, 1:].sqrt()

    @property
    def moments(self) -> Float[Tensor, "n w w"]:
        """E[(a, z) (a, z)^T]."""
        return self.mean[:, :, None] * self.mean[:, None, :] + self.covariance

    def changed(self, basis: Float[Tensor, "w w"]) -> Coordinates:
        """In the maps of `Subspace.changed`: (a, z) = basis (a', z')."""
        inverse = torch.linalg.inv(basis)
        covariance = inverse @ self.covariance @ inverse.T
        return replace(self, mean=self.mean @ inverse.T, covariance=covariance)


def turning(axes: Float[Tensor, "c c"]) -> Float[Tensor, "w w"]:
    """The basis that leaves the mean as it is and turns the components onto `axes`."""
    return torch.block_diag(torch.ones(1, 1, dtype=axes.dtype, device=axes.device), axes)


@dataclass(frozen=True)
class CentredImages:
    """All that is needed of the images: C conj(s) x and C^2 on a disk, and the views.

    weight: of each image in the maps, its confidence.
    """

    values: Complex[Tensor, "n k"]
    power: Float[Tensor, "n k"]
    rotations: Float[Tensor, "n 3 3"]
    weight: Float[Tensor, " n"]
    disk: FourierDisk

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(cls, half: HalfSet, radius: float) -> CentredImages:
        """Out to `radius` in Fourier pixels."""
        images = half.particles.images(radius)
        values = torch.empty_like(images.coefficients, memory_format=torch.contiguous_format)

        def centre(rows: slice) -> None:
            weighted = images.coefficients[rows] * images.ctf[rows]
            values[rows] = moved(weighted, -half.shifts_pixel[rows], images.disk)

        for _ in in_blocks_on(images.device, centre, len(images), _BLOCK):
            pass
        power = images.ctf.square()
        return cls(values, power, half.rotations, half.confidence, images.disk)
