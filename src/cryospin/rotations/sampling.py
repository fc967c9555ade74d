"""Rotations drawn uniformly from SO(3)."""

from __future__ import annotations

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor


def random_rotations(count: int, rng: np.random.Generator) -> Float[Tensor, "n 3 3"]:
    """Normalised Gaussian quaternions (Marsaglia 1972), float32."""
    quaternions = torch.as_tensor(rng.standard_normal((count, 4)))
    return roma.unitquat_to_rotmat(torch.nn.functional.normalize(quaternions, dim=-1)).float()
