"""What one image's products with a whole grid of slices come to, in numba: one thread's work."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

# "reassoc" lets sums and maxima over a row be taken by vectors
_compiled: Any = numba.njit(
    cache=True, nogil=True, fastmath={"contract", "nsz", "arcp", "nnan", "reassoc"}
)


@_compiled
def _exp(x):
    """exp(x) for -40 < x <= 0 to 1e-7, by 2^n and a polynomial (Cephes), in vectors where numba's
    own is a call for each number."""
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4) * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    power_of_two = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return (p * r * r + r + np.float32(1.0)) * power_of_two


@_compiled
def weigh(scores, norms, inverse_temperature, share, evidence):
    """Turn block scores (4, b, t, g) into block weights relative to each image's best, and norms
    (2, b, g) into their sums over shifts, both in place.

    Blocks (ee, oo, oe, eo) combine into the log-likelihoods of the four half-turned
    orientations, those into posterior weights, and the weights back into blocks.
    `share` is what normalises the weights: that of the best is 1.
    """
    batch, count, orientations = scores.shape[1:]
    # e^-40 is nothing, yet far from denormal numbers, which are slow
    two, lowest = np.float32(2.0), np.float32(-40.0)
    for i in range(batch):
        even, odd = norms[0, i], norms[1, i]
        top = np.float32(-np.inf)
        for t in range(count):
            a, b, c, d = scores[0, i, t], scores[1, i, t], scores[2, i, t], scores[3, i, t]
            local = np.float32(-np.inf)
            for g in range(orientations):
                ee, oo, oe, eo = two * a[g], two * b[g], two * c[g], two * d[g]
                plain, mirrored = even[g] + odd[g], even[g] - odd[g]
                l0 = (ee + oo + oe + eo - plain) * inverse_temperature
                l1 = (ee + oo - oe - eo - plain) * inverse_temperature
                l2 = (ee - oo - oe + eo - mirrored) * inverse_temperature
                l3 = (ee - oo + oe - eo - mirrored) * inverse_temperature
                a[g], b[g], c[g], d[g] = l0, l1, l2, l3
                local = max(local, max(max(l0, l1), max(l2, l3)))
            top = max(top, local)
        even[:] = np.float32(0.0)
        odd[:] = np.float32(0.0)
        total = np.float64(0.0)
        for t in range(count):
            a, b, c, d = scores[0, i, t], scores[1, i, t], scores[2, i, t], scores[3, i, t]
            row = np.float32(0.0)
            for g in range(orientations):
                w0 = _exp(max(a[g] - top, lowest))
                w1 = _exp(max(b[g] - top, lowest))
                w2 = _exp(max(c[g] - top, lowest))
                w3 = _exp(max(d[g] - top, lowest))
                a[g] = w0 + w1 + w2 + w3
                b[g] = w0 + w1 - w2 - w3
                c[g] = w0 - w1 - w2 + w3
                d[g] = w0 - w1 + w2 - w3
                row += a[g]
                even[g] += a[g]
                odd[g] += b[g]
            total += row
        share[i] = 1.0 / total
        evidence[i] = top + np.log(total) - np.log(4.0 * count * orientations)


@_compiled
def peaks(scores, norms, quaternions, near, found):
    """Greedy peaks: the best hypothesis, then the best of those not near one taken."""
    batch, count, orientations = scores.shape[1:]
    for i in range(batch):
        value = np.full((4, orientations), -np.inf, dtype=np.float32)
        shift = np.zeros((4, orientations), dtype=np.int64)
        for t in range(count):
            for g in range(orientations):
                ee, oo = scores[0, i, t, g], scores[1, i, t, g]
                oe, eo = scores[2, i, t, g], scores[3, i, t, g]
                plain = norms[0, i, g] + norms[1, i, g]
                mirrored = norms[0, i, g] - norms[1, i, g]
                for v in range(4):
                    if v < 2:
                        score = ee + oo + (oe + eo if v == 0 else -oe - eo)
                        score = 2 * score - plain
                    else:
                        score = ee - oo + (eo - oe if v == 2 else oe - eo)
                        score = 2 * score - mirrored
                    if score > value[v, g]:
                        value[v, g] = score
                        shift[v, g] = t
        for h in range(found.shape[1]):
            best_v, best_g = 0, 0
            for v in range(4):
                for g in range(orientations):
                    if value[v, g] > value[best_v, best_g]:
                        best_v, best_g = v, g
            found[i, h, 0], found[i, h, 1] = best_v, best_g
            found[i, h, 2] = shift[best_v, best_g]
            q = quaternions[best_v, best_g]
            for v in range(4):
                for g in range(orientations):
                    other = quaternions[v, g]
                    dot = q[0] * other[0] + q[1] * other[1] + q[2] * other[2] + q[3] * other[3]
                    if abs(dot) > near:
                        value[v, g] = -np.inf
