"""The log-posterior of one image over view directions: what a pose was chosen from.

In-plane angle and shift are marginalised on a grid. Priors are uniform, so that posterior and
likelihood differ by a constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.fourier.disk import moved
from cryospin.fourier.image_batch import ImageBatch
from cryospin.kernels import slice_volume
from cryospin.rotations.grid import rotations_of_views
from cryospin.rotations.healpix import healpix_directions

_CHUNK = 4000  # slices in memory at once


@dataclass(frozen=True)
class OneImage:
    """A batch of one image, and the map it is compared with."""

    volume: Complex[Tensor, "z y x"]
    image: ImageBatch

    def log_likelihoods(
        self, rotations: Float[Tensor, "n 3 3"], shifts_pixel: Float[Tensor, "t 2"]
    ) -> Float[Tensor, "n t"]:
        """-|x - C s P|^2 + |x|^2 for each rotation and shift: 0 where nothing is explained."""
        disk, ctf = self.image.disk, self.image.ctf
        data = moved(self.image.coefficients * ctf, -shifts_pixel, disk)
        flat, power = torch.view_as_real(data).flatten(1), ctf[0].square()
        found = []
        for part in rotations.split(_CHUNK):
            slices = slice_volume(self.volume, part.contiguous(), disk)
            inner = torch.view_as_real(slices).flatten(1) @ flat.T
            found.append(2 * inner - (slices.abs().square() @ power)[:, None])
        return torch.cat(found)


@dataclass(frozen=True)
class ViewPosterior:
    """Log-posterior at view directions (third rows of rotations), its maximum 0.

    reference: the maximum itself, in nats above an image that the map explains nothing of.
    spacing_degrees: about the distance between neighbouring directions.
    """

    directions: Float[Tensor, "v 3"]
    log_posterior: Float[Tensor, " v"]
    reference: float
    spacing_degrees: float
    rotations: Float[Tensor, "v 3 3"]
    shifts_pixel: Float[Tensor, "v 2"]

    @property
    def entropy_nats(self) -> float:
        """Of the posterior over the cells of the grid."""
        weight = torch.softmax(self.log_posterior.double(), dim=0)
        return float(-(weight * weight.clamp_min(1e-300).log()).sum())


def square_of_shifts(
    centre_pixel: Float[Tensor, " 2"], reach_pixel: float, count: int
) -> Float[Tensor, "t 2"]:
    axis = torch.linspace(-reach_pixel, reach_pixel, count) if count > 1 else torch.zeros(1)
    return centre_pixel + torch.cartesian_prod(axis, axis)


def posterior_over_sphere(
    image: OneImage, shifts_pixel: Float[Tensor, "t 2"], nside: int = 12
) -> ViewPosterior:
    """On the HEALPix sphere, with in-plane angles as far apart as the directions are."""
    views = torch.as_tensor(healpix_directions(nside))
    spacing = float(np.degrees(np.sqrt(4 * np.pi / len(views))))
    in_plane = torch.arange(round(360 / spacing)) * (2 * np.pi / round(360 / spacing))
    return _marginal(image, rotations_of_views(views).float(), in_plane, shifts_pixel, spacing)


def posterior_near(
    image: OneImage,
    pose: Float[Tensor, "3 3"],
    shifts_pixel: Float[Tensor, "t 2"],
    reach_degrees: float = 12.0,
    count: int = 25,
) -> ViewPosterior:
    """On a square lattice around a pose, in the plane the gnomonic projection draws.

    The direction at the pose's (x, y) in its view frame, in units of the sphere's radius, is
    that of (x, y, 1); the in-plane angle is searched as far as the tilt is.
    """
    reach = float(np.radians(reach_degrees))
    axis = torch.linspace(-float(np.tan(reach)), float(np.tan(reach)), count)
    x, y = torch.cartesian_prod(axis, axis).T
    # the turn that brings (x, y, 1) to z: about (y, -x, 0) by atan of its length
    length = torch.hypot(x, y).clamp_min(1e-9)
    turn = torch.stack([y, -x, torch.zeros_like(x)], dim=1) * (length.atan() / length)[:, None]
    in_plane = torch.linspace(-reach, reach, count)
    rotations = roma.rotvec_to_rotmat(turn) @ pose
    return _marginal(image, rotations, in_plane, shifts_pixel, 2 * reach_degrees / (count - 1))


def _marginal(
    image: OneImage, views: Tensor, in_plane: Tensor, shifts_pixel: Tensor, spacing: float
) -> ViewPosterior:
    """log mean exp over angles and shifts at each view, and the best of them."""
    zero = torch.zeros_like(in_plane)
    spin = roma.rotvec_to_rotmat(torch.stack([zero, zero, in_plane], dim=1).float())
    every = spin @ views[:, None]
    scores = image.log_likelihoods(every.reshape(-1, 3, 3), shifts_pixel).view(len(views), -1)
    best = scores.argmax(dim=1)
    angle, shift = best // len(shifts_pixel), best % len(shifts_pixel)
    total = torch.logsumexp(scores.double(), dim=1) - np.log(scores.shape[1])
    return ViewPosterior(
        views[:, 2],
        (total - total.max()).float(),
        float(total.max()),
        spacing,
        every[torch.arange(len(views)), angle],
        shifts_pixel[shift],
    )


def peaks(
    posterior: ViewPosterior, operators: Float[Tensor, "s 3 3"], count: int, apart_degrees: float
) -> Tensor:
    """Indices of the highest views that are no neighbours of a higher one or its mates."""
    left = posterior.log_posterior.clone()
    found: list[int] = []
    while len(found) < count and bool(torch.isfinite(left).any()):
        top = int(left.argmax())
        found.append(top)
        mates = posterior.directions[top] @ operators
        near = (posterior.directions @ mates.T).amax(dim=1) > np.cos(np.radians(apart_degrees))
        left[near] = -torch.inf
    return torch.tensor(found)
