"""Rotations from six unconstrained numbers, for networks: two vectors on the sphere.

The form "S2S2" of Falorsi et al. 2018 and Zhou et al. 2019: continuous, so that
a network can learn it, which no three or four numbers allow.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_TINY = 1e-6  # squared length below which a direction means nothing


def s2s2_to_rotation(six: Float[Tensor, "*b 6"]) -> Float[Tensor, "*b 3 3"]:
    """R = [v1, v2~, v3] as columns, with v3 = v1 x v2 and v2~ = v3 x v1, all normalised
    (CryoSPIN, section 4.1).

    The first three numbers are v1, the others v2. A zero v1 is read as the x axis, and a v2
    collinear with v1 as the coordinate axis farthest from it; the gradient is then zero for the
    part that was replaced, never NaN.
    """
    first = _direction(six[..., :3], _x_axis(six))
    second = _direction(six[..., 3:], _farthest_axis(first))
    third = torch.linalg.cross(first, second, dim=-1)
    replacement = torch.linalg.cross(first, _farthest_axis(first), dim=-1)
    third = _direction(third, replacement)
    return torch.stack([first, torch.linalg.cross(third, first, dim=-1), third], dim=-1)


def _direction(vector: Tensor, fallback: Tensor) -> Tensor:
    """vector / |vector|, or the fallback's direction where the vector is as good as zero.

    The choice is made before the division: `where` after it would let NaN into gradients.
    """
    small = vector.square().sum(dim=-1, keepdim=True) < _TINY**2
    return torch.nn.functional.normalize(torch.where(small, fallback, vector), dim=-1)


def _x_axis(like: Tensor) -> Tensor:
    axis = torch.zeros_like(like[..., :3])
    axis[..., 0] = 1
    return axis


def _farthest_axis(direction: Tensor) -> Tensor:
    """The coordinate axis least aligned with a direction; a constant for gradients."""
    least = direction.detach().abs().argmin(dim=-1)
    return torch.nn.functional.one_hot(least, 3).to(direction.dtype)
