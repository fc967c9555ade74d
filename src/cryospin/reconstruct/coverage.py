"""How evenly the views cover the sphere, and what that does to a map.

A view along v measures the plane of frequencies normal to v: frequencies along u are
measured by the views with v . u = 0.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.rotations.healpix import healpix_directions

_BAND = 0.1  # of |v . u|: the planes that pass near a frequency
_NSIDE = 8


def directions_of_half_the_views(rotations: Float[Tensor, "n 3 3"]) -> float:
    """Smallest share of the sphere that holds half of the views."""
    views = rotations[:, 2].double()
    # pixels large enough to hold a dozen particles each: chance must not look like preference
    nside = int(np.clip(np.sqrt(len(views) / 150), 1, 4))
    pixels = torch.as_tensor(healpix_directions(nside))
    counts = torch.bincount((views @ pixels.T).argmax(dim=1), minlength=len(pixels))
    held = counts.sort(descending=True).values.cumsum(0)
    return (int((held < 0.5 * held[-1]).sum()) + 1) / len(pixels)


def sampling_compensation(
    rotations: Float[Tensor, "n 3 3"], operators: Float[Tensor, "s 3 3"]
) -> float:
    """Harmonic over arithmetic mean of how often frequencies of each direction are measured.

    1 for even views, 0.81 for views from all sides of one axis, towards 0 where directions
    are not measured at all (Baldwin and Lyumkis 2020, Prog. Biophys. Mol. Biol. 150:160: the
    factor by which uneven views lower the spectral signal-to-noise ratio).
    """
    views = torch.einsum("nj,sjk->nsk", rotations[:, 2], operators).flatten(0, 1).double()
    directions = torch.as_tensor(healpix_directions(_NSIDE))
    directions = directions[: len(directions) // 2]  # u and -u are one plane's
    measured = torch.stack([(views @ u).abs().lt(_BAND).sum() for u in directions]).double()
    # half a view where there is none: the mean of inverses stays finite
    return float(1.0 / ((1.0 / measured.clamp_min(0.5)).mean() * measured.mean()))
