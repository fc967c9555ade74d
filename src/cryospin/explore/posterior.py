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
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.fourier.disk import FourierDisk, moved
from cryospin.fourier.parity import ParityFold
from cryospin.parallel import in_blocks
from cryospin.rotations.grid import VIEW_HALF_TURNS, OrientationGrid
from cryospin.types import PoseHypotheses

_BLOCK = 48  # images whose products with all slices stay near the core that made them


@dataclass(frozen=True)
class GridPosterior:
    """What the E-step of one batch leaves.

    numerator, denominator: sums over images, shifts and half-turns for each base slice.
    evidence: log of the mean likelihood over the grid, of each image.
    """

    numerator: Complex[Tensor, "g k"]
    denominator: Float[Tensor, "g k"]
    evidence: Float[Tensor, " b"]


def grid_posterior(
    slices: Complex[Tensor, "g k"],
    images: Complex[Tensor, "b k"],
    ctf: Float[Tensor, "b k"],
    shifts_pixel: Float[Tensor, "t 2"],
    disk: FourierDisk,
    fold: ParityFold,
    temperature: float,
) -> GridPosterior:
    """E-step of a batch over all (half-turn, g, t), and the sums its M-step needs.

    Weights are likelihood^(1/temperature), normalised per image.
    """
    blocks = _Blocks.of(slices, fold)

    def on(rows: slice) -> tuple[Tensor, ...]:
        scores, norms, data, power = blocks.scores(images[rows], ctf[rows], shifts_pixel, disk)
        share, evidence = torch.empty(2, len(norms[0]))
        _weigh(
            scores.numpy(),
            norms.numpy(),
            np.float32(1.0 / temperature),
            share.numpy(),
            evidence.numpy(),
        )
        per_shift = share.repeat_interleave(len(shifts_pixel))[:, None]
        return (
            *(w.T @ (per_shift * x) for w, x in zip(scores.flatten(1, 2), data, strict=True)),
            *(w.T @ (share[:, None] * p) for w, p in zip(norms, power, strict=True)),
            evidence,
        )

    sums: list[Tensor] = []
    found: list[Tensor] = []
    for *part, evidence in in_blocks(on, len(images), _BLOCK):
        sums = [a + b for a, b in zip(sums, part, strict=True)] if sums else part
        found.append(evidence)
    return GridPosterior(fold.unfold(*sums[:4]), fold.unfold_even(*sums[4:]), torch.cat(found))


def best_hypotheses(
    grid: OrientationGrid,
    slices: Complex[Tensor, "g k"],
    images: Complex[Tensor, "b k"],
    ctf: Float[Tensor, "b k"],
    shifts_pixel: Float[Tensor, "t 2"],
    disk: FourierDisk,
    fold: ParityFold,
    hypotheses: int,
) -> PoseHypotheses:
    """The best separate orientations of each image, best first, each at its best shift: peaks of
    the likelihood over the grid, at least 1.8 grid spacings apart."""
    quaternions = roma.rotmat_to_unitquat(VIEW_HALF_TURNS[:, None] @ grid.base).numpy()
    near = np.float32(np.cos(0.5 * np.radians(1.8 * grid.spacing_degrees)))
    blocks = _Blocks.of(slices, fold)

    def on(rows: slice) -> Tensor:
        scores, norms, _, _ = blocks.scores(images[rows], ctf[rows], shifts_pixel, disk)
        found = np.empty((len(scores[0]), hypotheses, 3), dtype=np.int64)
        _peaks(scores.numpy(), norms.numpy(), quaternions, near, found)
        return torch.from_numpy(found)

    found = torch.cat(list(in_blocks(on, len(images), _BLOCK)))
    half_turn, base, shift = found.unbind(dim=-1)
    return PoseHypotheses(grid.rotations(half_turn, base), shifts_pixel[shift])


@dataclass(frozen=True)
class _Blocks:
    """Slices by parity block: P (4 of them) and |P|^2 (2)."""

    fold: ParityFold
    slices: tuple[Float[Tensor, "g k4"], ...]
    power: tuple[Float[Tensor, "g k2"], ...]

    @classmethod
    def of(cls, slices: Complex[Tensor, "g k"], fold: ParityFold) -> _Blocks:
        return cls(fold, fold.fold(slices), fold.fold_even(slices.abs().square()))

    def scores(
        self,
        images: Complex[Tensor, "b k"],
        ctf: Float[Tensor, "b k"],
        shifts_pixel: Float[Tensor, "t 2"],
        disk: FourierDisk,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Inner products per parity block: Re<C x s*, P> (4, b, t, g), <C^2, |P|^2> (2, b, g),
        and the image blocks they were made of."""
        batch, count, orientations = len(images), len(shifts_pixel), len(self.slices[0])
        centred = moved((images * ctf)[:, None], -shifts_pixel, disk)
        data = self.fold.fold(centred.flatten(0, 1))
        power = self.fold.fold_even(ctf.square())
        scores = torch.empty(4, batch * count, orientations)
        norms = torch.empty(2, batch, orientations)
        for values, of_slices, out in zip(data, self.slices, scores, strict=True):
            torch.mm(values, of_slices.T, out=out)
        for values, of_slices, out in zip(power, self.power, norms, strict=True):
            torch.mm(values, of_slices.T, out=out)
        return scores.view(4, batch, count, orientations), norms, data, power


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
def _weigh(scores, norms, inverse_temperature, share, evidence):
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
def _peaks(scores, norms, quaternions, near, found):
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
