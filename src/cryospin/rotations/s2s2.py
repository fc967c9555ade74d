"""Rotations from six unconstrained numbers, for networks: two vectors on the sphere.

The form "S2S2" of Falorsi et al. 2018 and Zhou et al. 2019: continuous, so that
a network can learn it, which no three or four numbers allow.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_TINY = 1e-12  # squared length, or squared sine, below which a direction means nothing


def s2s2_to_rotation(six: Float[Tensor, "*b 6"]) -> Float[Tensor, "*b 3 3"]:
    """R = [v1, v2~, v3] as columns, with v3 = v1 x v2 and v2~ = v3 x v1, all normalised
    (CryoSPIN, section 4.1).

    The first three numbers are v1, the others v2. A zero v1 is read as the x axis, and a v2
    collinear with v1 as the coordinate axis farthest from it; the gradient is then zero for the
    part that was replaced, never NaN.
    """
    x_axis = torch.eye(3, dtype=six.dtype, device=six.device)[0]
    first, second = six[..., :3], six[..., 3:]
    first = _direction(first, _square(first) < _TINY, x_axis)
    # the coordinate axis least aligned with v1; a constant for gradients
    least = first.detach().abs().argmin(dim=-1)
    axis = torch.eye(3, dtype=six.dtype, device=six.device)[least]
    third = torch.linalg.cross(first, second, dim=-1)
    nearly = _square(third) < _TINY * _square(second).clamp_min(1.0)
    third = _direction(third, nearly, torch.linalg.cross(first.detach(), axis, dim=-1))
    return torch.stack([first, torch.linalg.cross(third, first, dim=-1), third], dim=-1)


def _direction(vector: Tensor, means_nothing: Tensor, fallback: Tensor) -> Tensor:
    """vector / |vector|, or the fallback's direction.

    The choice is made before the division: `where` after it would let NaN into gradients.
    """
    return torch.nn.functional.normalize(torch.where(means_nothing, fallback, vector), dim=-1)


def _square(vector: Tensor) -> Tensor:
    return vector.detach().square().sum(dim=-1, keepdim=True)
