"""The angle between two views from every third image, and which common lines many agree on.

Singer et al. 2010 ("Detecting consistent common lines in cryo-EM by voting", SIAM J. Imaging
Sciences 3:723). The three common lines of images i, j, k form a spherical triangle, whose angle
at the line of i and j is the one between their planes:

    cos(tilt_ij) = (cos g_k - cos g_i cos g_j) / (sin g_i sin g_j),

with g_i the angle in image i from its line with j to its line with k, and so on. Right lines
vote for one tilt, wrong ones anywhere.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import torch

from cryospin.pairs.relations import CommonLines, Relations, blocks_of_tilts
from cryospin.parallel import in_blocks

_BINS = 60  # of 3 degrees
_WIDTH_DEGREES = 6.0
# below this product of sines a triangle is too thin to tell anything
_THIN = 0.05


def voted_relations(lines: CommonLines) -> Relations:
    """S_ij of every pair with the tilt most thirds agree on.

    Weights: how far the peak of votes stands out, in standard deviations of votes that are
    spread evenly, less what the best of so many bins has by chance; 0 for pairs without.
    """
    cosine, sine = (f(lines.angles).numpy() for f in (torch.cos, torch.sin))
    trust = lines.weights.numpy()
    count = len(lines)
    table = np.arccos(np.linspace(-1.0, 1.0, 2001)) * (_BINS / np.pi)
    bins = np.minimum(table.astype(np.int64), _BINS - 1)
    peaks, tilts = np.zeros((count, count)), np.zeros((count, count))
    apart = (np.arange(_BINS)[:, None] - np.arange(_BINS)) * (180.0 / _BINS)
    kernel = np.exp(-0.5 * (apart / _WIDTH_DEGREES) ** 2)

    def on(rows: slice) -> None:
        _vote(rows.start, cosine, sine, trust, bins, kernel, peaks, tilts)

    for _ in in_blocks(on, count, 1):
        pass
    peaks, tilts = peaks + peaks.T, tilts + tilts.T
    weights = torch.from_numpy(peaks)
    return Relations(blocks_of_tilts(lines.angles.double(), torch.from_numpy(tilts).cos()), weights)


@numba.njit(cache=True, nogil=True)
def _vote(
    i: int,
    cosine: np.ndarray,
    sine: np.ndarray,
    trust: np.ndarray,
    bins: np.ndarray,
    kernel: np.ndarray,
    peaks: np.ndarray,
    tilts: np.ndarray,
) -> None:
    count, size = len(cosine), len(kernel)
    votes, smooth = np.empty(size), np.empty(size)
    # angles in the third image are read by column: copied once
    c_ki, s_ki = cosine[:, i].copy(), sine[:, i].copy()
    for j in range(i + 1, count):
        votes[:] = 0.0
        total, squares = 0.0, 0.0
        c_ij, s_ij, c_ji, s_ji = cosine[i, j], sine[i, j], cosine[j, i], sine[j, i]
        for k in range(count):
            if k in (i, j):
                continue
            cos_i = cosine[i, k] * c_ij + sine[i, k] * s_ij
            sin_i = sine[i, k] * c_ij - cosine[i, k] * s_ij
            cos_j = cosine[j, k] * c_ji + sine[j, k] * s_ji
            sin_j = sine[j, k] * c_ji - cosine[j, k] * s_ji
            product = sin_i * sin_j
            if abs(product) < _THIN:
                continue
            cos_k = c_ki[k] * cosine[k, j] + s_ki[k] * sine[k, j]
            tilt = (cos_k - cos_i * cos_j) / product
            if tilt < -1.0 or tilt > 1.0:
                continue
            weight = trust[i, k] * trust[j, k]
            votes[bins[int((tilt + 1.0) * 1000.0)]] += weight
            total += weight
            squares += weight * weight
        if total <= 0.0:
            continue
        best = 0
        for b in range(size):
            smooth[b] = 0.0
            for a in range(size):
                smooth[b] += kernel[b, a] * votes[a]
            if smooth[b] > smooth[best]:
                best = b
        # of votes spread evenly: mean and deviation of the smoothed count
        mass, mass_squared = 0.0, 0.0
        for a in range(size):
            mass += kernel[best, a]
            mass_squared += kernel[best, a] ** 2
        mean = total * mass / size
        deviation = math.sqrt(squares * mass_squared / size)
        peaks[i, j] = max(0.0, (smooth[best] - mean) / deviation - 2.0)
        tilts[i, j] = (best + 0.5) * math.pi / size
