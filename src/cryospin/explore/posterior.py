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
import roma
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.fourier.disk import FourierDisk, moved
from cryospin.fourier.parity import ParityFold
from cryospin.rotations.grid import VIEW_HALF_TURNS, OrientationGrid

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
    blocks = _block_scores(slices, images, ctf, shifts_pixel, centres_pixel, disk, fold)
    scores, norms, data_blocks, power_blocks = blocks
    best = np.empty((batch, 3), dtype=np.int64)
    confidence, evidence = np.empty(batch, np.float32), np.empty(batch, np.float32)
    _normalise(
        scores.numpy(),
        norms.numpy(),
        np.float32(1.0 / temperature),
        best,
        confidence,
        evidence,
    )
    weights = scores.view(4, batch * count, -1)
    numerator = fold.unfold(*(weights[i].T @ data_blocks[i] for i in range(4)))
    marginal = scores[:2].sum(dim=2)
    denominator = fold.unfold_even(*(marginal[i].T @ power_blocks[i] for i in range(2)))
    half_turn, base, shift = torch.from_numpy(best).unbind(dim=1)
    return GridPosterior(
        numerator,
        denominator,
        (half_turn, base, shift),
        torch.from_numpy(confidence),
        torch.from_numpy(evidence),
    )


@dataclass(frozen=True)
class PoseHypotheses:
    """The h best separate orientations of each image, best first, each at its best shift."""

    rotations: Float[Tensor, "b h 3 3"]
    shifts_pixel: Float[Tensor, "b h 2"]


def best_hypotheses(
    grid: OrientationGrid,
    slices: Complex[Tensor, "g k"],
    images: Complex[Tensor, "b k"],
    ctf: Float[Tensor, "b k"],
    shifts_pixel: Float[Tensor, "t 2"],
    centres_pixel: Float[Tensor, "b 2"],
    disk: FourierDisk,
    fold: ParityFold,
    hypotheses: int,
) -> PoseHypotheses:
    """Peaks of the likelihood over the grid, at least 1.8 grid spacings apart."""
    scores, norms, _, _ = _block_scores(
        slices, images, ctf, shifts_pixel, centres_pixel, disk, fold
    )
    quaternions = roma.rotmat_to_unitquat(VIEW_HALF_TURNS[:, None] @ grid.base)
    found = np.empty((len(images), hypotheses, 3), dtype=np.int64)
    near = np.cos(0.5 * np.radians(1.8 * grid.spacing_degrees))
    _peaks(scores.numpy(), norms.numpy(), quaternions.numpy(), np.float32(near), found)
    half_turn, base, shift = torch.from_numpy(found).unbind(dim=-1)
    return PoseHypotheses(
        grid.rotations(half_turn, base), centres_pixel[:, None] + shifts_pixel[shift]
    )


def _block_scores(
    slices: Tensor,
    images: Tensor,
    ctf: Tensor,
    shifts_pixel: Tensor,
    centres_pixel: Tensor,
    disk: FourierDisk,
    fold: ParityFold,
) -> tuple[Tensor, Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Inner products per parity block: Re<C x s*, P> (4, b, t, g), <C^2, |P|^2> (2, b, g),
    and the image blocks they were made of."""
    batch, count = len(images), len(shifts_pixel)
    back = -(centres_pixel[:, None] + shifts_pixel)
    data = fold.fold(moved((images * ctf)[:, None], back, disk).reshape(batch * count, -1))
    power = fold.fold_even(ctf.square())
    scores = torch.empty(4, batch * count, len(slices))
    norms = torch.empty(2, batch, len(slices))
    for block, values in enumerate(fold.fold(slices)):
        torch.mm(data[block], values.T, out=scores[block])
    for block, values in enumerate(fold.fold_even(slices.abs().square())):
        torch.mm(power[block], values.T, out=norms[block])
    return scores.view(4, batch, count, -1), norms, data, power


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
        total = np.float64(0.0)
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


@_parallel
def _peaks(scores, norms, quaternions, near, found):
    """Greedy peaks: the best hypothesis, then the best of those not near one taken."""
    batch, count, orientations = scores.shape[1:]
    for i in numba.prange(batch):
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
