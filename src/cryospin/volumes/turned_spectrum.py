"""Coefficients of a turned map at many frequencies and orientations at once: the inner loop
of map alignment, in numba.

`slice_volume` of the kernels does this for planes; maps need the whole ball.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numba
import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

_jit: Any = numba.njit(cache=True, fastmath={"contract", "nsz", "arcp", "nnan"}, nogil=True)


def turned_coefficients(
    volume: Complex[Tensor, "z y x"],
    matrices: Float[Tensor, "h 3 3"],
    frequencies: Float[Tensor, "k 3"],
    oversampling: int,
) -> Complex[Tensor, "h k"]:
    """Trilinear samples of a Fourier volume (layout: cryospin.kernels) at `matrix @ k`.

    matrices: orthogonal, proper or not, on any device. frequencies: xyz in Fourier pixels of the
    box. Computed where the volume is.
    """
    if volume.device.type != "cpu":
        return _gathered(volume, matrices.to(volume.device), frequencies, oversampling)
    out = torch.empty(len(matrices), len(frequencies), dtype=torch.complex64)
    _sample(
        volume.contiguous().numpy(),
        (matrices * oversampling).to(torch.float32).contiguous().numpy(),
        frequencies.to(torch.float32).contiguous().numpy(),
        out.numpy(),
    )
    return out


def _gathered(volume: Tensor, matrices: Tensor, frequencies: Tensor, oversampling: int) -> Tensor:
    """`_sample` by torch."""
    margin = volume.shape[-1] - 1
    scaled = (matrices * oversampling).to(torch.float32)
    points = torch.einsum("hij,kj->ihk", scaled, frequencies.to(torch.float32))
    mate = points[0] < 0
    points = torch.where(mate, -points, points)
    base = points.floor()
    x, y, z = points - base
    ix, iy, iz = base.long()
    flat = volume.reshape(-1)
    size, row = 2 * margin + 1, margin + 1
    first = ((iz + margin) * size + iy + margin) * row + ix
    value = torch.zeros(first.shape, dtype=volume.dtype, device=volume.device)
    for dz, dy, dx in product((0, 1), repeat=3):
        weight = (x if dx else 1 - x) * (y if dy else 1 - y) * (z if dz else 1 - z)
        value += weight * flat[first + (dz * size + dy) * row + dx]
    return torch.where(mate, value.conj(), value)


@_jit
def _sample(
    volume: np.ndarray, matrices: np.ndarray, frequencies: np.ndarray, out: np.ndarray
) -> None:
    margin = volume.shape[2] - 1
    one = np.float32(1.0)
    for i in range(matrices.shape[0]):
        m = matrices[i]
        for j in range(frequencies.shape[0]):
            kx, ky, kz = frequencies[j, 0], frequencies[j, 1], frequencies[j, 2]
            x = m[0, 0] * kx + m[0, 1] * ky + m[0, 2] * kz
            y = m[1, 0] * kx + m[1, 1] * ky + m[1, 2] * kz
            z = m[2, 0] * kx + m[2, 1] * ky + m[2, 2] * kz
            mate = x < 0
            if mate:
                x, y, z = -x, -y, -z
            y += margin
            z += margin
            ix, iy, iz = int(x), int(y), int(z)
            fx, fy, fz = x - np.float32(ix), y - np.float32(iy), z - np.float32(iz)
            gx = one - fx
            a = volume[iz, iy, ix] * gx + volume[iz, iy, ix + 1] * fx
            b = volume[iz, iy + 1, ix] * gx + volume[iz, iy + 1, ix + 1] * fx
            c = volume[iz + 1, iy, ix] * gx + volume[iz + 1, iy, ix + 1] * fx
            d = volume[iz + 1, iy + 1, ix] * gx + volume[iz + 1, iy + 1, ix + 1] * fx
            value = (a * (one - fy) + b * fy) * (one - fz) + (c * (one - fy) + d * fy) * fz
            out[i, j] = np.conj(value) if mate else value
