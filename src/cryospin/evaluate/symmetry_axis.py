"""Rotation errors modulo a cyclic symmetry whose axis lies anywhere.

Files of molecules rarely have it along z, where point groups have it by convention. When
symmetry was not imposed, particles end at any of the equal places, and where they end tells
the axis.
"""

from __future__ import annotations

import numpy as np
import roma
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor

from cryospin.rotations.align import RotationAlignment, align_rotations, mirror_rotations

_LOST_DEGREES = 10.0
_FEW_LOST = 0.1  # fewer particles beyond 10 degrees: the axis given is the right one
_SAMPLE = 600


def align_about_any_axis(
    estimated: Float[Tensor, "n 3 3"], true: Float[Tensor, "n 3 3"], symmetry: str
) -> RotationAlignment:
    """`align_rotations`, with the axis of a cyclic group fitted where z does not explain them.

    The frame of the alignment found so is the truth's turned until its axis is along z.
    """
    given = align_rotations(estimated, true, symmetry)
    lost = float((given.errors_degrees > _LOST_DEGREES).double().mean())
    if symmetry[:1].upper() != "C" or symmetry.upper() == "C1" or lost <= _FEW_LOST:
        return given
    to_z = _axis_to_z(estimated.double(), true.double(), symmetry)
    if to_z is None:
        return given
    fitted = align_rotations(estimated, true.double() @ to_z.T, symmetry)
    better = fitted.errors_degrees.median() < given.errors_degrees.median()
    return fitted if better else given


def _axis_to_z(estimated: Tensor, true: Tensor, symmetry: str) -> Float[Tensor, "3 3"] | None:
    """From the turns between the places where symmetry mates ended, then to where the median
    error is least. None where no mates stand apart."""
    flipped = align_rotations(estimated, true, "C1").flipped
    seen = mirror_rotations(estimated) if flipped else estimated
    relative = true.mT @ seen
    sample = relative[:: max(1, len(relative) // 300)]
    near = roma.rotmat_geodesic_distance(relative[None], sample[:, None]) < np.radians(8)
    centre = sample[int(near.sum(dim=1).argmax())]
    turns = roma.rotmat_to_rotvec(relative @ centre.T)
    apart = turns[turns.norm(dim=1) > np.radians(30)]
    if len(apart) < 3:
        return None
    _, _, axes = torch.linalg.svd(apart, full_matrices=False)
    z = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    first = roma.special_procrustes(torch.outer(z, axes[0]))
    few = slice(None, None, max(1, len(true) // _SAMPLE))

    def turned(tilt: np.ndarray) -> Tensor:
        small = torch.tensor([tilt[0], tilt[1], 0.0], dtype=torch.float64)
        return roma.rotvec_to_rotmat(small) @ first

    def error(tilt: np.ndarray) -> float:
        there = true[few] @ turned(tilt).T
        return float(align_rotations(estimated[few], there, symmetry).errors_degrees.median())

    simplex = np.array([[0, 0], [0.02, 0], [0, 0.02]])
    options = {"initial_simplex": simplex, "maxfev": 50}
    return turned(minimize(error, np.zeros(2), method="Nelder-Mead", options=options).x)
