"""FSC within cones of directions: a map smeared along some axis shows it here.

Conical FSC as in Tan et al. 2017, Nat. Methods 14:793: shells cut with a cone of 20 degrees
about each direction.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.fourier.volume import volume_spectrum
from cryospin.rotations.healpix import healpix_directions
from cryospin.types import DensityMap

_HALF_ANGLE_DEGREES = 20.0
_NSIDE = 2


def cone_directions() -> Float[Tensor, "c 3"]:
    """Axes of the cones: half of the sphere, about 30 degrees apart, xyz."""
    directions = torch.as_tensor(healpix_directions(_NSIDE))
    upper = directions[:, 2] + 1e-6 * directions[:, 0] + 1e-9 * directions[:, 1] > 0
    return directions[upper]


def conical_fsc(half1: DensityMap, half2: DensityMap, shells: int) -> Float[Tensor, "c s"]:
    """FSC of two superimposed maps in shells 1 .. shells, one row for each cone direction.

    0 where a cone holds nothing of a shell.
    """
    first, second = volume_spectrum(half1.values), volume_spectrum(half2.values)
    box = half1.box
    full = torch.fft.fftfreq(box, 1.0 / box)
    half = torch.arange(box // 2 + 1, dtype=full.dtype)
    kz, ky, kx = torch.meshgrid(full, full, half, indexing="ij")
    radius = (kx.square() + ky.square() + kz.square()).sqrt()
    within = (radius.round() >= 1) & (radius.round() <= shells)
    length = radius[within]
    shell = length.round().long() - 1
    unit = torch.stack([kx[within], ky[within], kz[within]], dim=1) / length[:, None]
    first, second = first[within], second[within]
    # a coefficient without its Friedel mate in the half-spectrum stands for both
    weight = torch.where((kx[within] > 0) & (kx[within] < box // 2), 2.0, 1.0)
    products = weight * torch.stack(
        [(first * second.conj()).real, first.abs().square(), second.abs().square()]
    )
    least = math.cos(math.radians(_HALF_ANGLE_DEGREES))
    curves = []
    for axis in cone_directions().to(unit.dtype):
        inside = (unit @ axis).abs() >= least
        sums = torch.zeros(3, shells, dtype=torch.float64)
        sums.index_add_(1, shell[inside], products[:, inside].double())
        power = sums[1] * sums[2]
        curves.append(torch.where(power > 0, sums[0] / power.clamp_min(1e-300).sqrt(), 0.0))
    return torch.stack(curves)


def cone_area_ratio(curves: Float[Tensor, "c s"]) -> float:
    """Area under the worst cone's curve over that under the best one's, in [0, 1]."""
    areas = curves.clamp_min(0.0).sum(dim=1)
    return float(areas.min() / areas.max().clamp_min(1e-12))
