"""The kernels on the CPU: tensors in, tensors out; the loops themselves are in `loops`."""

from __future__ import annotations

from collections.abc import Iterable

import numba
import numpy as np
import torch
from torch import Tensor

from cryospin.fourier.disk import FourierDisk
from cryospin.kernels import loops


def _floats(tensor: Tensor) -> np.ndarray:
    """A complex64 tensor as contiguous float32 pairs along the last axis."""
    return torch.view_as_real(tensor.contiguous()).flatten(-2).numpy()


def _frequencies(disk: FourierDisk) -> tuple[np.ndarray, np.ndarray]:
    return disk.kx.astype(np.float32), disk.ky.astype(np.float32)


def slice_volume(volume: Tensor, rotations: Tensor, disk: FourierDisk, oversampling: int) -> Tensor:
    out = torch.empty(len(rotations), len(disk), dtype=torch.complex64)
    turned = (rotations * oversampling).contiguous().numpy()
    loops.slice_loop(_floats(volume), turned, *_frequencies(disk), _floats(out))
    return out


def insert_portions(
    portions: Iterable[tuple[Tensor, Tensor, Tensor]],
    disk: FourierDisk,
    margin: int,
    oversampling: int,
) -> tuple[Tensor, Tensor]:
    sums = torch.zeros(2 * margin + 1, 2 * margin + 1, 3 * (margin + 1))
    # Each thread owns a slab of z and walks all particles: no races, and every voxel sums in
    # the order of the particles. |z| of a random slice's points is uniform up to the radius.
    threads = numba.get_num_threads()
    reach = oversampling * disk.radius
    edges = np.linspace(-reach, reach, threads + 1).round().astype(np.int64)
    edges[0], edges[-1] = -margin, margin + 1
    for values, weights, rotations in portions:
        loops.insert_loop(
            _floats(values),
            weights.contiguous().numpy(),
            (rotations * oversampling).contiguous().numpy(),
            *_frequencies(disk),
            edges,
            sums.numpy(),
        )
    parts = sums.unflatten(2, (margin + 1, 3))
    return torch.view_as_complex(parts[..., :2].contiguous()), parts[..., 2].contiguous()


def pose_losses(
    volume: Tensor,
    images: Tensor,
    ctf: Tensor,
    rotations: Tensor,
    shifts_pixel: Tensor,
    disk: FourierDisk,
    image_index: Tensor | None,
    oversampling: int,
) -> Tensor:
    return _poses(
        volume, images, ctf, rotations, shifts_pixel, disk, image_index, oversampling, False
    )[0]


def pose_normal_equations(
    volume: Tensor,
    images: Tensor,
    ctf: Tensor,
    rotations: Tensor,
    shifts_pixel: Tensor,
    disk: FourierDisk,
    image_index: Tensor | None,
    oversampling: int,
) -> tuple[Tensor, Tensor, Tensor]:
    return _poses(
        volume, images, ctf, rotations, shifts_pixel, disk, image_index, oversampling, True
    )


def _poses(
    volume: Tensor,
    images: Tensor,
    ctf: Tensor,
    rotations: Tensor,
    shifts_pixel: Tensor,
    disk: FourierDisk,
    image_index: Tensor | None,
    oversampling: int,
    derivatives: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    count = len(rotations)
    index = np.arange(count) if image_index is None else image_index.numpy()
    loss = torch.empty(count)
    gradient, hessian = torch.empty(count, 5), torch.empty(count, 5, 5)
    args = (
        _floats(volume),
        _floats(images),
        ctf.contiguous().numpy(),
        rotations.contiguous().numpy(),
        (shifts_pixel * (2 * np.pi / disk.box)).contiguous().numpy(),
        index,
        *_frequencies(disk),
        np.float32(oversampling),
        loss.numpy(),
    )
    if derivatives:
        loops.normal_equations_loop(*args, np.float32(disk.box), gradient.numpy(), hessian.numpy())
    else:
        loops.losses_loop(*args)
    return loss, gradient, hessian
