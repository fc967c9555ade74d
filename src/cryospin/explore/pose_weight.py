"""How sure a pose is: the posterior weight of the poses near it among all there are.

The peaks of a likelihood that were polished are few, and at low SNR thousands of other poses
explain an image nearly as well: all of a fine grid are counted.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.explore.setting import Setting
from cryospin.fourier.disk import moved
from cryospin.fourier.image_batch import ImageBatch
from cryospin.kernels import slice_volume
from cryospin.rotations.grid import OrientationGrid, view_half_turns

_NSIDE, _SHIFTS_PER_AXIS = 6, 5
_CHUNK = 2000  # slices in memory at once


def weight_near(
    volume: Complex[Tensor, "z y x"],
    images: ImageBatch,
    rotations: Float[Tensor, "b 3 3"],
    setting: Setting,
    degrees: float,
) -> Float[Tensor, " b"]:
    """Posterior weight of all orientations within `degrees` of each image's, or of a mate by the
    setting's operators, at any shift.

    volume: Fourier volume that reaches as far as the images do. The grid is 10 degrees wide: near
    a sharp peak one of its points outweighs all others as the peak would.
    """
    disk = images.disk
    shifts = setting.shifts_pixel(_SHIFTS_PER_AXIS).to(rotations.device)
    data = moved((images.coefficients * images.ctf)[:, None], -shifts, disk)
    flat, power = torch.view_as_real(data).flatten(2), images.ctf.square()
    mates = rotations[:, None] @ setting.operators
    grid = OrientationGrid.of(_NSIDE, 6 * _NSIDE).to(rotations.device)
    every = (view_half_turns(rotations.device)[:, None] @ grid.base).flatten(0, 1)
    scores, near = [], []
    for part in every.split(_CHUNK):
        slices = slice_volume(volume, part, disk)
        inner = flat @ torch.view_as_real(slices).flatten(1).T
        gain = 2 * inner - (power @ slices.abs().square().T)[:, None]
        scores.append(torch.logsumexp(gain, dim=1))
        cosine = (torch.einsum("gij,bsij->bgs", part, mates).amax(dim=-1) - 1) / 2
        near.append(cosine > np.cos(np.radians(degrees)))
    weight = torch.softmax(torch.cat(scores, dim=1).double(), dim=1)
    return (weight * torch.cat(near, dim=1)).sum(dim=1).float()
