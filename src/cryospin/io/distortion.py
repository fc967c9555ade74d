"""Poses of distorted images: a table's shifts are those in the image as it is, ours are those
in the round image that particles.lens makes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from cryospin.io.conventions import shifts_in_distorted_image, shifts_in_round_image
from cryospin.types import Optics, Poses


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


def _matrices(optics: tuple[Optics, ...], group: np.ndarray, poses: Poses) -> Tensor:
    each = np.stack([one.magnification_matrix for one in optics])[group]
    return torch.from_numpy(each).to(poses.shifts_angstrom)
