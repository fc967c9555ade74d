"""The kernels in numba, parallel over particles (slabs of the volume for the scatter).

Complex arrays are walked as interleaved float32. No sum depends on the number of threads.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from cryospin.fourier.disk import FourierDisk

_jit: Any = numba.njit(cache=True, fastmath={"contract", "nsz", "arcp", "nnan"}, nogil=True)
_parallel: Any = numba.njit(
    cache=True, fastmath={"contract", "nsz", "arcp", "nnan"}, nogil=True, parallel=True
)


def _floats(tensor: Tensor) -> np.ndarray:
    """A complex64 tensor as contiguous float32 pairs along the last axis."""
    return torch.view_as_real(tensor.contiguous()).flatten(-2).numpy()


def _frequencies(disk: FourierDisk) -> tuple[np.ndarray, np.ndarray]:
    return disk.kx.astype(np.float32), disk.ky.astype(np.float32)


def slice_volume(volume: Tensor, rotations: Tensor, disk: FourierDisk, oversampling: int) -> Tensor:
    out = torch.empty(len(rotations), len(disk), dtype=torch.complex64)
    turned = (rotations * oversampling).contiguous().numpy()
    _slice(_floats(volume), turned, *_frequencies(disk), _floats(out))
    return out


def insert_slices(
    values: Tensor,
    weights: Tensor,
    rotations: Tensor,
    disk: FourierDisk,
    margin: int,
    oversampling: int,
) -> tuple[Tensor, Tensor]:
    shape = (2 * margin + 1, 2 * margin + 1, margin + 1)
    numerator = torch.zeros(shape, dtype=torch.complex64)
    denominator = torch.zeros(shape, dtype=torch.float32)
    # Each thread owns a slab of z and walks all particles: no races, and every voxel sums in
    # the order of the particles. |z| of a random slice's points is uniform up to the radius.
    threads = numba.get_num_threads()
    reach = oversampling * disk.radius
    edges = np.linspace(-reach, reach, threads + 1).round().astype(np.int64)
    edges[0], edges[-1] = -margin, margin + 1
    _insert(
        _floats(values),
        weights.contiguous().numpy(),
        (rotations * oversampling).contiguous().numpy(),
        *_frequencies(disk),
        edges,
        _floats(numerator),
        denominator.numpy(),
    )
    return numerator, denominator


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
        _normal_equations(*args, np.float32(disk.box), gradient.numpy(), hessian.numpy())
    else:
        _losses(*args)
    return loss, gradient, hessian


@_parallel
def _slice(volume, rotations, kx, ky, out):
    margin = volume.shape[2] // 2 - 1
    for p in numba.prange(rotations.shape[0]):
        r = rotations[p]
        for k in range(kx.shape[0]):
            x = kx[k] * r[0, 0] + ky[k] * r[1, 0]
            y = kx[k] * r[0, 1] + ky[k] * r[1, 1]
            z = kx[k] * r[0, 2] + ky[k] * r[1, 2]
            sign = np.float32(1.0)
            if x < 0:
                x, y, z, sign = -x, -y, -z, np.float32(-1.0)
            re, im = _trilinear(volume, x, y + margin, z + margin)
            out[p, 2 * k] = re
            out[p, 2 * k + 1] = sign * im


@_jit
def _trilinear(volume, x, y, z):
    """Value at (x, y, z) >= 0, in grid units of the array."""
    ix, iy, iz = int(x), int(y), int(z)
    fx, fy, fz = x - np.float32(ix), y - np.float32(iy), z - np.float32(iz)
    one = np.float32(1.0)
    i = 2 * ix
    re, im = np.float32(0.0), np.float32(0.0)
    for dz in range(2):
        wz = fz if dz else one - fz
        for dy in range(2):
            w = wz * (fy if dy else one - fy)
            row = volume[iz + dz, iy + dy]
            re += w * ((one - fx) * row[i] + fx * row[i + 2])
            im += w * ((one - fx) * row[i + 1] + fx * row[i + 3])
    return re, im


@_parallel
def _insert(values, weights, rotations, kx, ky, edges, numerator, denominator):
    margin = denominator.shape[2] - 1
    one = np.float32(1.0)
    for slab in numba.prange(edges.shape[0] - 1):
        low, high = edges[slab] + margin, edges[slab + 1] + margin
        for p in range(rotations.shape[0]):
            r = rotations[p]
            for k in range(kx.shape[0]):
                x = kx[k] * r[0, 0] + ky[k] * r[1, 0]
                z = kx[k] * r[0, 2] + ky[k] * r[1, 2]
                flipped = x < 0
                if flipped:
                    x, z = -x, -z
                z += margin
                iz = int(z)
                if iz + 1 < low or iz >= high:
                    continue
                y = kx[k] * r[0, 1] + ky[k] * r[1, 1]
                y = (-y if flipped else y) + margin
                ix, iy = int(x), int(y)
                fx, fy, fz = x - np.float32(ix), y - np.float32(iy), z - np.float32(iz)
                re, im = values[p, 2 * k], values[p, 2 * k + 1]
                if flipped:
                    im = -im
                weight = weights[p, k]
                for dz in range(2):
                    if iz + dz < low or iz + dz >= high:
                        continue
                    wz = fz if dz else one - fz
                    for dy in range(2):
                        w = wz * (fy if dy else one - fy)
                        w0, w1 = w * (one - fx), w * fx
                        row = numerator[iz + dz, iy + dy]
                        row[2 * ix] += w0 * re
                        row[2 * ix + 1] += w0 * im
                        row[2 * ix + 2] += w1 * re
                        row[2 * ix + 3] += w1 * im
                        row = denominator[iz + dz, iy + dy]
                        row[ix] += w0 * weight
                        row[ix + 1] += w1 * weight


@_jit
def _phase_tables(tx, ty, reach):
    """exp(+i (kx tx + ky ty)) factored: one table over kx >= 0, one over ky in -reach..reach."""
    x_table = np.empty((reach + 1, 2), dtype=np.float32)
    y_table = np.empty((2 * reach + 1, 2), dtype=np.float32)
    for i in range(reach + 1):
        c, s = np.cos(i * tx), np.sin(i * tx)
        x_table[i, 0], x_table[i, 1] = c, s
        c, s = np.cos(i * ty), np.sin(i * ty)
        y_table[reach + i, 0], y_table[reach + i, 1] = c, s
        y_table[reach - i, 0], y_table[reach - i, 1] = c, -s
    return x_table, y_table


@_jit
def _recentred(images, image, k, kx, ky, x_table, y_table):
    """The image coefficient with its particle moved back to the centre: conj(s) x."""
    reach = x_table.shape[0] - 1
    i, j = int(kx), int(ky) + reach
    c = x_table[i, 0] * y_table[j, 0] - x_table[i, 1] * y_table[j, 1]
    s = x_table[i, 0] * y_table[j, 1] + x_table[i, 1] * y_table[j, 0]
    re, im = images[image, 2 * k], images[image, 2 * k + 1]
    return c * re - s * im, c * im + s * re


@_parallel
def _losses(volume, images, ctf, rotations, shifts, index, kx, ky, oversampling, loss):
    margin = volume.shape[2] // 2 - 1
    reach = int(max(np.max(kx), np.max(np.abs(ky))))
    for p in numba.prange(rotations.shape[0]):
        r = rotations[p] * oversampling
        image = index[p]
        x_table, y_table = _phase_tables(shifts[p, 0], shifts[p, 1], reach)
        total = 0.0
        for k in range(kx.shape[0]):
            x = kx[k] * r[0, 0] + ky[k] * r[1, 0]
            y = kx[k] * r[0, 1] + ky[k] * r[1, 1]
            z = kx[k] * r[0, 2] + ky[k] * r[1, 2]
            sign = np.float32(1.0)
            if x < 0:
                x, y, z, sign = -x, -y, -z, np.float32(-1.0)
            re, im = _trilinear(volume, x, y + margin, z + margin)
            a, b = _recentred(images, image, k, kx[k], ky[k], x_table, y_table)
            a -= ctf[image, k] * re
            b -= ctf[image, k] * sign * im
            total += a * a + b * b
        loss[p] = total


@_jit
def _trilinear_gradient(volume, part, x, y, z):
    """(value, d/dx, d/dy, d/dz) of the real (part 0) or imaginary (1) part at (x, y, z)."""
    ix, iy, iz = int(x), int(y), int(z)
    fx, fy, fz = x - np.float32(ix), y - np.float32(iy), z - np.float32(iz)
    one = np.float32(1.0)
    j = 2 * ix + part
    a, b = volume[iz, iy], volume[iz, iy + 1]
    c, d = volume[iz + 1, iy], volume[iz + 1, iy + 1]
    xa, xb, xc, xd = a[j + 2] - a[j], b[j + 2] - b[j], c[j + 2] - c[j], d[j + 2] - d[j]
    va, vb, vc, vd = a[j] + fx * xa, b[j] + fx * xb, c[j] + fx * xc, d[j] + fx * xd
    low, high = va + fy * (vb - va), vc + fy * (vd - vc)
    dx = (one - fz) * (xa + fy * (xb - xa)) + fz * (xc + fy * (xd - xc))
    dy = (one - fz) * (vb - va) + fz * (vd - vc)
    return low + fz * (high - low), dx, dy, high - low


@_parallel
def _normal_equations(
    volume,
    images,
    ctf,
    rotations,
    shifts,
    index,
    kx,
    ky,
    oversampling,
    loss,
    box,
    gradient,
    hessian,
):
    margin = volume.shape[2] // 2 - 1
    reach = int(max(np.max(kx), np.max(np.abs(ky))))
    turn = np.float32(2 * np.pi) / box
    for p in numba.prange(rotations.shape[0]):
        r = rotations[p] * oversampling
        image = index[p]
        x_table, y_table = _phase_tables(shifts[p, 0], shifts[p, 1], reach)
        total = 0.0
        # upper triangle of J^T J (15) and J^T e (5)
        normal = np.zeros(20, dtype=np.float64)
        j_re, j_im = np.empty(5, dtype=np.float32), np.empty(5, dtype=np.float32)
        for k in range(kx.shape[0]):
            fx, fy = kx[k], ky[k]
            x = fx * r[0, 0] + fy * r[1, 0]
            y = fx * r[0, 1] + fy * r[1, 1]
            z = fx * r[0, 2] + fy * r[1, 2]
            flipped = x < 0
            if flipped:
                x, y, z = -x, -y, -z
            v_re = _trilinear_gradient(volume, 0, x, y + margin, z + margin)
            v_im = _trilinear_gradient(volume, 1, x, y + margin, z + margin)
            c = ctf[image, k]
            p_re, p_im = c * v_re[0], c * v_im[0]
            # derivatives in the view frame; at a Friedel mate the gradient changes sign
            # and the conjugate's imaginary part changes it back
            c_re, c_im = (-c, c) if flipped else (c, c)
            if flipped:
                p_im = -p_im
            gx_re = c_re * (r[0, 0] * v_re[1] + r[0, 1] * v_re[2] + r[0, 2] * v_re[3])
            gx_im = c_im * (r[0, 0] * v_im[1] + r[0, 1] * v_im[2] + r[0, 2] * v_im[3])
            gy_re = c_re * (r[1, 0] * v_re[1] + r[1, 1] * v_re[2] + r[1, 2] * v_re[3])
            gy_im = c_im * (r[1, 0] * v_im[1] + r[1, 1] * v_im[2] + r[1, 2] * v_im[3])
            gz_re = c_re * (r[2, 0] * v_re[1] + r[2, 1] * v_re[2] + r[2, 2] * v_re[3])
            gz_im = c_im * (r[2, 0] * v_im[1] + r[2, 1] * v_im[2] + r[2, 2] * v_im[3])
            j_re[0], j_im[0] = -fy * gz_re, -fy * gz_im
            j_re[1], j_im[1] = fx * gz_re, fx * gz_im
            j_re[2], j_im[2] = fy * gx_re - fx * gy_re, fy * gx_im - fx * gy_im
            # d/dt exp(-2 pi i k.t / d) = -2 pi i k / d, seen from the recentred frame
            j_re[3], j_im[3] = turn * fx * p_im, -turn * fx * p_re
            j_re[4], j_im[4] = turn * fy * p_im, -turn * fy * p_re
            a, b = _recentred(images, image, k, fx, fy, x_table, y_table)
            a -= p_re
            b -= p_im
            total += a * a + b * b
            n = 0
            for i in range(5):
                for j in range(i, 5):
                    normal[n] += j_re[i] * j_re[j] + j_im[i] * j_im[j]
                    n += 1
                normal[15 + i] += j_re[i] * a + j_im[i] * b
        loss[p] = total
        n = 0
        for i in range(5):
            gradient[p, i] = -2 * normal[15 + i]
            for j in range(i, 5):
                hessian[p, i, j] = hessian[p, j, i] = 2 * normal[n]
                n += 1
