"""Is the particle in a map dense or dark? Told from the skewness of its values.

The forward model is linear: images of the other contrast give the same poses and exactly
the negative map. So contrast that single images do not tell can be settled on the finished map.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

# maps of particles have 0.5 (a hollow sphere) to 5, noise less than 0.1
_CLEAR = 0.3


def looks_dark(density: Float[Tensor, "d d d"], support: Float[Tensor, "d d d"]) -> bool:
    """Whether what stands out inside the support is darker than what is around it."""
    return _skewness(density[support > 0.5]) < -_CLEAR


def _skewness(values: Float[Tensor, " n"]) -> float:
    """A particle fills the lesser part of its support, so its map has a tail on its side."""
    centred = values.double() - values.double().mean()
    deviation = centred.square().mean().sqrt().clamp_min(torch.finfo(torch.float64).tiny)
    return float((centred / deviation).pow(3).mean())
