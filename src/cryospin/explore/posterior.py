"""Posterior over a whole grid of orientations and shifts, by matrix products.

For whitened images the log-likelihood of image i at orientation g and shift t is, up to a
constant, 2 Re<C x s_t*, P_g> - <C^2, |P_g|^2>: two matrix products (the second shared by all
shifts). `fourier.parity` makes each base orientation stand for four.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.fourier.disk import FourierDisk, shift_phases
from cryospin.fourier.parity import ParityFold

_NEGLIGIBLE = np.float32(16.0)
"""Hypotheses this far (in log posterior) below an image's best are dropped: 1e-7."""


@dataclass(frozen=True)
class GridPosterior:
    """What the E-step of one batch leaves for the M-step and for bookkeeping.

    numerator, denominator: sums over images, shifts and half-turns for each base slice.
    best: index (half-turn, base orientation, shift) of each image's best hypothesis.
    confidence: its posterior weight. evidence: log of the mean likelihood over the grid.
    shift_weights: posterior of the shifts alone.
    """

    numerator: Complex[Tensor, "g k"]
    denominator: Float[Tensor, "g k"]
    best: tuple[Int[Tensor, " b"], Int[Tensor, " b"], Int[Tensor, " b"]]
    confidence: Float[Tensor, " b"]
    evidence: Float[Tensor, " b"]


def grid_posterior(
    slices: Complex[Tensor, "g k"],
    images: Complex[Tensor, "b k"],
    ctf: Float[Tensor, "b k"],
    shifts_pixel: Float[Tensor, "t 2"],
    centres_pixel: Float[Tensor, "b 2"],
    disk: FourierDisk,
    fold: ParityFold,
    temperature: float,
) -> GridPosterior:
    """E-step of a batch over all (half-turn, g, t), and the sums its M-step needs.

    Image i is searched at shifts `centres_pixel[i] + shifts_pixel`. Weights are
    likelihood^(1/temperature), normalised per image.
    """
    batch, count = len(images), len(shifts_pixel)
    back = shift_phases(-(centres_pixel[:, None] + shifts_pixel), disk)
    data = ((images * ctf)[:, None] * back).reshape(batch * count, -1)
    data_blocks = fold.fold(data)
    power_blocks = fold.fold_even(ctf.square())
    slice_blocks = fold.fold(slices)
    norm_blocks = fold.fold_even(slices.abs().square())
    scores = torch.empty(4, batch * count, len(slices))
    norms = torch.empty(2, batch, len(slices))
    for block in range(4):
        torch.mm(data_blocks[block], slice_blocks[block].T, out=scores[block])
    for block in range(2):
        torch.mm(power_blocks[block], norm_blocks[block].T, out=norms[block])
    best = np.empty((batch, 3), dtype=np.int64)
    confidence, evidence = np.empty(batch, np.float32), np.empty(batch, np.float32)
    _normalise(
        scores.view(4, batch, count, -1).numpy(),
        norms.numpy(),
        np.float32(1.0 / temperature),
        best,
        confidence,
        evidence,
    )
    numerator = fold.unfold(*(scores[i].T @ data_blocks[i] for i in range(4)))
    marginal = scores[:2].view(2, batch, count, -1).sum(dim=2)
    denominator = fold.unfold_even(*(marginal[i].T @ power_blocks[i] for i in range(2)))
    half_turn, base, shift = torch.from_numpy(best).unbind(dim=1)
    return GridPosterior(
        numerator,
        denominator,
        (half_turn, base, shift),
        torch.from_numpy(confidence),
        torch.from_numpy(evidence),
    )


_parallel: Any = numba.njit(
    cache=True, parallel=True, nogil=True, fastmath={"contract", "nsz", "arcp", "nnan"}
)


@_parallel
def _normalise(scores, norms, inverse_temperature, best, confidence, evidence):
    """Turn block scores (4, b, t, g) into block weights, in place.

    Blocks (ee, oo, oe, eo) combine into the log-likelihoods of the four half-turned
    orientations, those into posterior weights, and the weights back into blocks.
    """
    batch, count, orientations = scores.shape[1:]
    two = np.float32(2.0)
    for i in numba.prange(batch):
        top = np.float32(-np.inf)
        best_v, best_g, best_t = 0, 0, 0
        for t in range(count):
            a, b, c, d = scores[0, i, t], scores[1, i, t], scores[2, i, t], scores[3, i, t]
            even, odd = norms[0, i], norms[1, i]
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
            if local > top:
                top = local
                best_t = t
        floor = top - _NEGLIGIBLE
        total = 0.0
        for t in range(count):
            a, b, c, d = scores[0, i, t], scores[1, i, t], scores[2, i, t], scores[3, i, t]
            for g in range(orientations):
                l0, l1, l2, l3 = a[g], b[g], c[g], d[g]
                w0 = np.exp(l0 - top) if l0 > floor else np.float32(0.0)
                w1 = np.exp(l1 - top) if l1 > floor else np.float32(0.0)
                w2 = np.exp(l2 - top) if l2 > floor else np.float32(0.0)
                w3 = np.exp(l3 - top) if l3 > floor else np.float32(0.0)
                total += w0 + w1 + w2 + w3
                if t == best_t:
                    if l0 == top:
                        best_v, best_g = 0, g
                    elif l1 == top:
                        best_v, best_g = 1, g
                    elif l2 == top:
                        best_v, best_g = 2, g
                    elif l3 == top:
                        best_v, best_g = 3, g
                a[g] = w0 + w1 + w2 + w3
                b[g] = w0 + w1 - w2 - w3
                c[g] = w0 - w1 - w2 + w3
                d[g] = w0 - w1 + w2 - w3
        scale = np.float32(1.0 / total)
        for block in range(4):
            for t in range(count):
                row = scores[block, i, t]
                for g in range(orientations):
                    row[g] *= scale
        best[i, 0], best[i, 1], best[i, 2] = best_v, best_g, best_t
        confidence[i] = scale
        evidence[i] = top + np.log(total) - np.log(4.0 * count * orientations)
