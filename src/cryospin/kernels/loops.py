"""The kernels in numba, parallel over particles (slabs of the volume for the scatter).

Complex arrays are walked as interleaved float32. No sum depends on the number of threads:
one particle is one thread's, and a voxel sums in the order of the particles.

Coefficients go through in blocks that stay in the first-level cache, one simple loop per
step (where, gather, arithmetic), so that the compiler turns all but the gather into vector
instructions; a single loop over coefficients was half as fast. A block's buffers are rows of
one array: the compiler's checks that arrays do not overlap, which choose between its vector
and its scalar code, then come out the same in every call.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

# Not inline="always": a quarter faster, but then the checks that arrays do not overlap come out one
# way or the other from run to run, and so do last bits.
_jit: Any = numba.njit(cache=True, fastmath=True, nogil=True)
_parallel: Any = numba.njit(cache=True, fastmath=True, nogil=True, parallel=True)

_BLOCK = 128


@_jit
def _gather(volume, rotation, kx, ky, first, count, base, words, where, corners):
    """Read the 8 grid points around each of `count` coefficients from `first`.

    A complex number is read as one word of 64 bits (half as many loads), into `words`
    (8, block), and taken apart afterwards, in vector instructions.

    where: (4, block) floats: fractions x, y, z within the cell, and the sign of the
        imaginary part (-1 where the coefficient is read at its Friedel mate).
    corners: (16, block): re, im at x, then at x + 1, for (y, z), (y+1, z), (y, z+1), (y+1, z+1).
    """
    row = volume.shape[2] // 2
    margin, plane = row - 1, volume.shape[1] * row
    flat = volume.reshape(-1).view(np.int64)
    for j in range(count):
        fx, fy = kx[first + j], ky[first + j]
        x = fx * rotation[0, 0] + fy * rotation[1, 0]
        y = fx * rotation[0, 1] + fy * rotation[1, 1]
        z = fx * rotation[0, 2] + fy * rotation[1, 2]
        sign = np.float32(-1.0) if x < 0 else np.float32(1.0)
        x, y, z = x * sign, y * sign + margin, z * sign + margin
        ix, iy, iz = np.int32(x), np.int32(y), np.int32(z)
        where[0, j], where[1, j], where[2, j] = x - ix, y - iy, z - iz
        where[3, j] = sign
        base[j] = iz * plane + iy * row + ix
    # unsigned: a signed index would be tested for counting from the end
    second, third, fourth = np.uint32(row), np.uint32(plane), np.uint32(plane + row)
    for j in range(count):
        b = base[j]
        for i in range(np.uint32(2)):
            words[i, j] = flat[b + i]
            words[np.uint32(2) + i, j] = flat[b + second + i]
            words[np.uint32(4) + i, j] = flat[b + third + i]
            words[np.uint32(6) + i, j] = flat[b + fourth + i]
    parts = words.view(np.float32)
    for i in range(8):
        for j in range(count):
            corners[2 * i, j] = parts[i, 2 * j]
            corners[2 * i + 1, j] = parts[i, 2 * j + 1]


@_jit
def _interpolate(where, corners, count, part, out):
    """The real (part 0) or imaginary (1) value of the block into `out`."""
    for j in range(count):
        fx, fy, fz = where[0, j], where[1, j], where[2, j]
        a, b = corners[part, j], corners[4 + part, j]
        c, d = corners[8 + part, j], corners[12 + part, j]
        a += fx * (corners[2 + part, j] - a)
        b += fx * (corners[6 + part, j] - b)
        c += fx * (corners[10 + part, j] - c)
        d += fx * (corners[14 + part, j] - d)
        low, high = a + fy * (b - a), c + fy * (d - c)
        value = low + fz * (high - low)
        out[j] = value * where[3, j] if part else value


@_parallel
def slice_loop(volume, rotations, kx, ky, out):
    for p in numba.prange(rotations.shape[0]):
        base = np.empty(_BLOCK, dtype=np.uint32)
        words = np.empty((8, _BLOCK), dtype=np.int64)
        work = np.empty((22, _BLOCK), dtype=np.float32)
        where, corners, value = work[:4], work[4:20], work[20:]
        for first in range(0, kx.shape[0], _BLOCK):
            count = min(_BLOCK, kx.shape[0] - first)
            _gather(volume, rotations[p], kx, ky, first, count, base, words, where, corners)
            _interpolate(where, corners, count, 0, value[0])
            _interpolate(where, corners, count, 1, value[1])
            for j in range(count):
                out[p, 2 * (first + j)] = value[0, j]
                out[p, 2 * (first + j) + 1] = value[1, j]


@_parallel
def insert_loop(values, weights, rotations, kx, ky, edges, sums):
    """Add each coefficient to the 8 grid points around it; `sums` interleaves (re, im, weight)
    along x, so that what is written together lies together."""
    margin = sums.shape[2] // 3 - 1
    row, plane = np.uint32(sums.shape[2]), np.uint32(sums.shape[1] * sums.shape[2])
    flat = sums.reshape(-1)
    one = np.float32(1.0)
    for slab in numba.prange(edges.shape[0] - 1):
        low, high = edges[slab] + margin, edges[slab + 1] + margin
        where = np.empty((4, _BLOCK), dtype=np.float32)
        base = np.empty(_BLOCK, dtype=np.uint32)
        level = np.empty(_BLOCK, dtype=np.int32)
        for p in range(rotations.shape[0]):
            r = rotations[p]
            for first in range(0, kx.shape[0], _BLOCK):
                count = min(_BLOCK, kx.shape[0] - first)
                for j in range(count):
                    fx, fy = kx[first + j], ky[first + j]
                    x = fx * r[0, 0] + fy * r[1, 0]
                    y = fx * r[0, 1] + fy * r[1, 1]
                    z = fx * r[0, 2] + fy * r[1, 2]
                    sign = np.float32(-1.0) if x < 0 else one
                    x, y, z = x * sign, y * sign + margin, z * sign + margin
                    ix, iy, iz = np.int32(x), np.int32(y), np.int32(z)
                    where[0, j], where[1, j], where[2, j] = x - ix, y - iy, z - iz
                    where[3, j] = sign
                    base[j] = iz * plane + iy * row + 3 * ix
                    level[j] = iz
                for j in range(count):
                    if level[j] + 1 < low or level[j] >= high:
                        continue
                    fx, fy, fz = where[0, j], where[1, j], where[2, j]
                    re = values[p, 2 * (first + j)]
                    im = values[p, 2 * (first + j) + 1] * where[3, j]
                    weight = weights[p, first + j]
                    for dz in range(2):
                        if level[j] + dz < low or level[j] + dz >= high:
                            continue
                        wz = fz if dz else one - fz
                        start = base[j] + plane if dz else base[j]
                        for dy in range(2):
                            w = wz * (fy if dy else one - fy)
                            w0, w1 = w * (one - fx), w * fx
                            at = start + row if dy else start
                            flat[at] += w0 * re
                            flat[at + np.uint32(1)] += w0 * im
                            flat[at + np.uint32(2)] += w0 * weight
                            flat[at + np.uint32(3)] += w1 * re
                            flat[at + np.uint32(4)] += w1 * im
                            flat[at + np.uint32(5)] += w1 * weight


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
def _recentre(image, kx, ky, first, count, x_table, y_table, out):
    """The image's coefficients with the particle moved back to the centre, conj(s) x."""
    reach = x_table.shape[0] - 1
    for j in range(count):
        k = first + j
        i, n = int(kx[k]), int(ky[k]) + reach
        c = x_table[i, 0] * y_table[n, 0] - x_table[i, 1] * y_table[n, 1]
        s = x_table[i, 0] * y_table[n, 1] + x_table[i, 1] * y_table[n, 0]
        re, im = image[2 * k], image[2 * k + 1]
        out[0, j] = c * re - s * im
        out[1, j] = c * im + s * re


@_parallel
def losses_loop(volume, images, ctf, rotations, shifts, index, kx, ky, oversampling, loss):
    reach = int(max(np.max(kx), np.max(np.abs(ky))))
    for p in numba.prange(rotations.shape[0]):
        base = np.empty(_BLOCK, dtype=np.uint32)
        words = np.empty((8, _BLOCK), dtype=np.int64)
        work = np.empty((24, _BLOCK), dtype=np.float32)
        where, corners, value, image = work[:4], work[4:20], work[20:22], work[22:]
        rotation, i = rotations[p] * oversampling, index[p]
        x_table, y_table = _phase_tables(shifts[p, 0], shifts[p, 1], reach)
        total = np.float64(0.0)
        for first in range(0, kx.shape[0], _BLOCK):
            count = min(_BLOCK, kx.shape[0] - first)
            _gather(volume, rotation, kx, ky, first, count, base, words, where, corners)
            _interpolate(where, corners, count, 0, value[0])
            _interpolate(where, corners, count, 1, value[1])
            _recentre(images[i], kx, ky, first, count, x_table, y_table, image)
            part = np.float32(0.0)
            for j in range(count):
                a = image[0, j] - ctf[i, first + j] * value[0, j]
                b = image[1, j] - ctf[i, first + j] * value[1, j]
                part += a * a + b * b
            total += part
        loss[p] = total


@_jit
def _derivatives(where, corners, rotation, ctf, kx, ky, first, count, part, value, jacobian):
    """Model value of the block (real or imaginary part), and its derivatives with respect to
    the three turns, into `jacobian[:3]`."""
    r = rotation
    for j in range(count):
        fx, fy, fz = where[0, j], where[1, j], where[2, j]
        a, b = corners[part, j], corners[4 + part, j]
        c, d = corners[8 + part, j], corners[12 + part, j]
        xa, xb = corners[2 + part, j] - a, corners[6 + part, j] - b
        xc, xd = corners[10 + part, j] - c, corners[14 + part, j] - d
        a, b, c, d = a + fx * xa, b + fx * xb, c + fx * xc, d + fx * xd
        low, high = a + fy * (b - a), c + fy * (d - c)
        xlow, xhigh = xa + fy * (xb - xa), xc + fy * (xd - xc)
        # derivatives along the object's axes, then along the view's. At a Friedel mate the
        # gradient changes sign, and so does the imaginary part
        scale = ctf[first + j]
        turn = scale if part else scale * where[3, j]
        dx = turn * (xlow + fz * (xhigh - xlow))
        dy = turn * ((b - a) + fz * ((d - c) - (b - a)))
        dz = turn * (high - low)
        gx = r[0, 0] * dx + r[0, 1] * dy + r[0, 2] * dz
        gy = r[1, 0] * dx + r[1, 1] * dy + r[1, 2] * dz
        gz = r[2, 0] * dx + r[2, 1] * dy + r[2, 2] * dz
        u, v = kx[first + j], ky[first + j]
        jacobian[0, j] = -v * gz
        jacobian[1, j] = u * gz
        jacobian[2, j] = v * gx - u * gy
        interpolated = scale * (low + fz * (high - low))
        value[j] = interpolated * where[3, j] if part else interpolated


@_parallel
def normal_equations_loop(
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
    reach = int(max(np.max(kx), np.max(np.abs(ky))))
    turn = np.float32(2 * np.pi) / box
    for p in numba.prange(rotations.shape[0]):
        base = np.empty(_BLOCK, dtype=np.uint32)
        words = np.empty((8, _BLOCK), dtype=np.int64)
        work = np.empty((36, _BLOCK), dtype=np.float32)
        where, corners, value, image = work[:4], work[4:20], work[20:22], work[22:24]
        # rows 0 to 4: the five derivatives; row 5: the residual
        real, imag = work[24:30], work[30:]
        normal = np.zeros((6, 6), dtype=np.float64)
        rotation, i = rotations[p] * oversampling, index[p]
        x_table, y_table = _phase_tables(shifts[p, 0], shifts[p, 1], reach)
        for first in range(0, kx.shape[0], _BLOCK):
            count = min(_BLOCK, kx.shape[0] - first)
            _gather(volume, rotation, kx, ky, first, count, base, words, where, corners)
            _derivatives(where, corners, rotation, ctf[i], kx, ky, first, count, 0, value[0], real)
            _derivatives(where, corners, rotation, ctf[i], kx, ky, first, count, 1, value[1], imag)
            _recentre(images[i], kx, ky, first, count, x_table, y_table, image)
            for j in range(count):
                # d/dt exp(-2 pi i k.t / d) = -2 pi i k / d, seen from the recentred frame
                u, v = turn * kx[first + j], turn * ky[first + j]
                real[3, j], imag[3, j] = u * value[1, j], -u * value[0, j]
                real[4, j], imag[4, j] = v * value[1, j], -v * value[0, j]
                real[5, j] = image[0, j] - value[0, j]
                imag[5, j] = image[1, j] - value[1, j]
            for a in range(6):
                for b in range(a, 6):
                    part = np.float32(0.0)
                    for j in range(count):
                        part += real[a, j] * real[b, j] + imag[a, j] * imag[b, j]
                    normal[a, b] += part
        loss[p] = normal[5, 5]
        for a in range(5):
            gradient[p, a] = -2 * normal[a, 5]
            for b in range(a, 5):
                hessian[p, a, b] = hessian[p, b, a] = 2 * normal[a, b]
