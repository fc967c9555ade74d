"""Poses of distorted images: a table's shifts are those in the image as it is, ours are those
in the round image that particles.lens makes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from cryospin.io.conventions import shifts_in_distorted_image, shifts_in_round_image
from cryospin.optics import Optics
from cryospin.types import Poses

_STRETCH = (0.5, 2.0)  # beyond what any microscope does; real ones differ by a few per cent


def poses_from_images(poses: Poses, optics: tuple[Optics, ...], group: np.ndarray) -> Poses:
    """Ours, from shifts in images whose optics are `optics[group]`."""
    if all(each.round for each in optics):
        return poses
    matrices = _matrices(optics, group, poses)
    return replace(poses, shifts_angstrom=shifts_in_round_image(poses.shifts_angstrom, matrices))


def poses_in_images(poses: Poses, optics: tuple[Optics, ...], group: np.ndarray) -> Poses:
    """Inverse of `poses_from_images`."""
    if all(each.round for each in optics):
        return poses
    matrices = _matrices(optics, group, poses)
    shifts = shifts_in_distorted_image(poses.shifts_angstrom, matrices)
    return replace(poses, shifts_angstrom=shifts)


def no_magnification(matrices: np.ndarray) -> tuple[int, str] | None:
    """The first row of (n, 4) that is none, and what is wrong with it."""
    distinct, first = np.unique(matrices, axis=0, return_index=True)
    stretch = np.linalg.svd(distinct.reshape(-1, 2, 2), compute_uv=False)
    strange = (stretch < _STRETCH[0]).any(axis=1) | (stretch > _STRETCH[1]).any(axis=1)
    if not strange.any():
        return None
    row = int(first[strange].min())
    found = " ".join(f"{value:g}" for value in matrices[row])
    return row, f"{found} is no magnification matrix, which is close to 1 0 0 1"


def _matrices(optics: tuple[Optics, ...], group: np.ndarray, poses: Poses) -> Tensor:
    each = np.stack([one.magnification_matrix for one in optics])[group]
    return torch.from_numpy(each).to(poses.shifts_angstrom)
