"""Images that show none of the structures: empty boxes, aggregates, the edge of the carbon.

What such an image shows is drawn from a Gaussian of the particles' own power spectrum, times a
factor: 0 is an empty box, 1 some other protein, more an aggregate. An image is junk where that
explains it better than every map does in every pose.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.kernels import pose_normal_equations
from cryospin.particles.source import ParticleSource
from cryospin.particles.spectrum import signal_power
from cryospin.refine.halves import HalfSet
from cryospin.volumes.gridded import map_to_volume

_FACTORS = (0.0, 0.25, 1.0, 4.0, 16.0, 64.0)
_ROWS = 2000
_STRONG = 6.0  # deviations of the noise's power, by which an image has more
_MOSTLY = 0.5  # of what it has more


def junk_log_likelihoods(
    particles: ParticleSource, radius: float, losses: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Log likelihood of each whitened image as junk, up to the constant that losses leave out.

    Coefficients of variance 1 + f C^2 tau^2 by shell, in units of the noise's, each factor f as
    likely. Under a mask only so many of them count as are independent.

    losses: of each image at its best pose in its best map. A strong image of which a map explains
    most is not junk, although a map that is not perfect leaves of it more than noise.
    """
    disk = particles.disk.prefix(radius)
    power = signal_power(particles)[disk.shells(particles.device)]
    independent = particles.noise_level
    factors = torch.tensor(_FACTORS, device=particles.device)[:, None, None]
    parts = []
    for rows, images in particles.batches(_ROWS, radius):
        squares = images.coefficients.abs().square()
        variance = 1 + factors * images.ctf.square() * power / independent
        each = -(squares / variance + independent * variance.log()).sum(dim=-1)
        likelihood = torch.logsumexp(each, dim=0) - math.log(len(_FACTORS))
        whole, length = squares.sum(dim=1), independent * squares.shape[1]
        strong = whole - length > _STRONG * length**0.5
        explained = whole - losses[rows] > _MOSTLY * (whole - length)
        parts.append(torch.where(strong & explained, -torch.inf, likelihood))
    return torch.cat(parts)


def log_evidence(
    half: HalfSet,
    density: Float[Tensor, "g g g"],
    radius: float,
    shift_range_pixel: float,
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Log of each image's likelihood averaged over all poses, from the peak at its pose: a
    Gaussian as wide as the Gauss-Newton Hessian says (Laplace's approximation). And its loss at
    that pose."""
    images = half.particles.images(radius)
    volume = map_to_volume(density, images.disk.box, radius)
    loss, _, hessian = pose_normal_equations(volume, images, half.rotations, half.shifts_pixel)
    floor = 1e-3 * torch.eye(5, device=hessian.device)
    precision = torch.linalg.cholesky_ex(hessian.double() + floor)[0]
    log_width = 2.5 * math.log(2 * math.pi) - precision.diagonal(dim1=1, dim2=2).log().sum(dim=1)
    # the poses there are: rotations by vectors, 8 pi^2, and a square of shifts
    log_all = math.log(8 * math.pi**2) + 2 * math.log(max(2 * shift_range_pixel, 1.0))
    return (-loss + (log_width - log_all).clamp_max(0.0)).to(loss.dtype), loss
