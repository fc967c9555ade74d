"""Orientations from pairwise relations: spectral, then re-weighted against wrong pairs.

Both kinds of relation are linear in the planes A_i (2x3, see `pairs.relations`), so that the
stack A (2n x 3) spans the three leading eigenvectors of a 2n x 2n matrix:

* S_ij: the Gram matrix A A^T itself, of rank 3.
* common lines: c_ij^T A_i = c_ji^T A_j gives sum_j w c_ij c_ji^T A_j = D_i A_i with
  D_i = sum_j w c_ij c_ij^T. So A has eigenvalue 1 of D^-1 [w c_ij c_ji^T], the largest there
  is, whatever the distribution of views (Singer and Shkolnisky 2011 without D).

What is left open is a 3x3 matrix, found from A_i A_i^T = 1 up to the physical gauge: a rotation
and the hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.pairs.relations import CommonLines, Relations

_TINY = 1e-12
_LOST = 0.6  # of the median consistency
_SMALL = 300  # rows of a matrix that is decomposed whole
_BLOCK = 16
_MOST_ITERATIONS = 200
_SAME_SPACE = 1e-8


@dataclass(frozen=True)
class Synchronised:
    """Orientations, up to a rotation and the hand of all.

    consistency: share of an image's trusted pairs that agree with its orientation, in [0, 1].
    weights: of the pairs, after re-weighting.
    """

    rotations: Float[Tensor, "n 3 3"]
    consistency: Float[Tensor, " n"]
    weights: Float[Tensor, "n n"]


@dataclass(frozen=True)
class Synchronisation:
    """Hyper-parameters.

    scales: of the residual (a chord, 2 sin(half the angle)) beyond which a pair is distrusted,
        one per spectral solution; weights are 1 / (1 + (r / scale)^2)^2 (Geman and McClure).
    last_scale, polishes: of the planes' own re-weighted iterations after it.
    rescues: rounds in which images that few pairs agree with start over among the others.
    agreement: residual within which a pair counts as consistent.
    """

    scales: tuple[float, ...] = (1.0, 0.6, 0.4, 0.3)
    last_scale: float = 0.2
    polishes: int = 12
    rescues: int = 2
    agreement: float = 0.175

    def of_relations(self, relations: Relations) -> Synchronised:
        return self._run(_BlockPairs(relations))

    def of_common_lines(self, lines: CommonLines) -> Synchronised:
        return self._run(_LinePairs(lines))

    def _run(self, pairs: _Pairs) -> Synchronised:
        weights = pairs.weights
        planes = pairs.spectral(weights)
        for scale in self.scales:
            weights = pairs.weights * robust_weight(pairs.residuals(planes), scale)
            planes = pairs.spectral(weights)
        last = torch.full((len(planes), 1), self.last_scale, dtype=planes.dtype)
        for _ in range(self.polishes):
            planes = self._improved(pairs, planes, pairs.weights, last)
        for _ in range(self.rescues):
            consistency = self._consistency(pairs, planes)
            trusted = consistency > _LOST * consistency.median()
            if trusted.all():
                break
            for scale in np.geomspace(2.0, self.last_scale, self.polishes):
                scales = torch.where(trusted[:, None], last, float(scale))
                planes = self._improved(pairs, planes, pairs.weights * trusted, scales)
        weights = pairs.weights * robust_weight(pairs.residuals(planes), last)
        return Synchronised(rotations_of(planes), self._consistency(pairs, planes), weights)

    def _improved(self, pairs: _Pairs, planes: Tensor, weights: Tensor, scales: Tensor) -> Tensor:
        """Each image's plane anew, the others held; a scale for each image."""
        weights = weights * robust_weight(pairs.residuals(planes), scales)
        return orthonormal(pairs.improved(planes, weights))

    def _consistency(self, pairs: _Pairs, planes: Tensor) -> Tensor:
        agrees = (pairs.residuals(planes) < self.agreement).double() * pairs.weights
        return agrees.sum(dim=1) / pairs.weights.sum(dim=1).clamp_min(_TINY)


class _Pairs(Protocol):
    """A kind of relation. Planes are (n, 2, 3)."""

    weights: Tensor

    def spectral(self, weights: Tensor) -> Tensor: ...

    def residuals(self, planes: Tensor) -> Tensor: ...

    def improved(self, planes: Tensor, weights: Tensor) -> Tensor: ...


class _BlockPairs:
    """S_ij = A_i A_j^T."""

    def __init__(self, relations: Relations):
        self.weights = relations.weights.double()
        self.blocks = relations.blocks.double()
        count = len(relations)
        self.flat = self.blocks.permute(2, 0, 3, 1).reshape(2 * count, 2 * count)

    def spectral(self, weights: Tensor) -> Tensor:
        degree = weights.sum(dim=1).clamp_min(_TINY).rsqrt()
        scaled = weights * degree[:, None] * degree
        vectors = leading(self.flat * scaled.repeat(2, 2))
        return upgraded(unstacked(vectors) / degree[:, None, None])

    def residuals(self, planes: Tensor) -> Tensor:
        predicted = torch.einsum("iax,jbx->ijab", planes, planes)
        return (self.blocks - predicted).square().sum(dim=(-1, -2)).div(2.0).sqrt()

    def improved(self, planes: Tensor, weights: Tensor) -> Tensor:
        """Least squares of each image's plane, the others held."""
        target = (self.flat * weights.repeat(2, 2)) @ stacked(planes)
        normal = torch.einsum("ij,jax,jay->ixy", weights, planes, planes)
        ridge = 1e-3 * weights.sum(dim=1).clamp_min(_TINY)[:, None, None] * torch.eye(3).double()
        return torch.linalg.solve(normal + ridge, unstacked(target).mT).mT


class _LinePairs:
    """c_ij^T A_i = c_ji^T A_j."""

    def __init__(self, lines: CommonLines):
        self.weights = lines.weights.double()
        angles = lines.angles.double()
        self.cosine, self.sine = angles.cos(), angles.sin()
        c, s = self.cosine, self.sine
        self.flat = torch.cat(
            [torch.cat([c * c.T, c * s.T], dim=1), torch.cat([s * c.T, s * s.T], dim=1)]
        )

    def spectral(self, weights: Tensor) -> Tensor:
        root = self._inverse_root(weights)
        half = by_blocks(root, self.flat * weights.repeat(2, 2))
        return upgraded(root @ unstacked(leading(by_blocks(root, half.T))))

    def _inverse_root(self, weights: Tensor) -> Tensor:
        """D_i^-1/2, (n, 2, 2)."""
        cc = (weights * self.cosine.square()).sum(dim=1)
        cs = (weights * self.cosine * self.sine).sum(dim=1)
        ss = (weights * self.sine.square()).sum(dim=1)
        matrix = torch.stack([cc, cs, cs, ss], dim=-1).view(-1, 2, 2)
        values, vectors = torch.linalg.eigh(matrix)
        floor = 1e-3 * values[:, 1:].clamp_min(_TINY)
        return (vectors * values.maximum(floor).rsqrt()[:, None]) @ vectors.mT

    def residuals(self, planes: Tensor) -> Tensor:
        total = torch.zeros_like(self.cosine)
        for axis in range(3):
            seen = self.cosine * planes[:, None, 0, axis] + self.sine * planes[:, None, 1, axis]
            total += (seen - seen.T).square()
        return total.sqrt()

    def improved(self, planes: Tensor, weights: Tensor) -> Tensor:
        """A_i from sum_j w c_ij c_ji^T A_j = D_i A_i, whose orthonormal part is A_i."""
        return unstacked((self.flat * weights.repeat(2, 2)) @ stacked(planes))


def by_blocks(blocks: Float[Tensor, "n 2 2"], matrix: Float[Tensor, "m c"]) -> Tensor:
    """blockdiag(blocks) @ matrix, whose rows are stacked as `stacked` does."""
    return stacked(blocks @ unstacked(matrix))


def robust_weight(residuals: Tensor, scale: float | Tensor) -> Tensor:
    return 1.0 / (1.0 + (residuals / scale) ** 2) ** 2


def stacked(planes: Float[Tensor, "n 2 c"]) -> Float[Tensor, "m c"]:
    """First rows of all images, then second rows."""
    return planes.transpose(0, 1).reshape(2 * len(planes), -1)


def unstacked(vectors: Float[Tensor, "m c"]) -> Float[Tensor, "n 2 c"]:
    return vectors.view(2, len(vectors) // 2, -1).transpose(0, 1)


def leading(matrix: Float[Tensor, "m m"]) -> Float[Tensor, "m 3"]:
    """The three leading eigenvectors of a symmetric matrix, by subspace iteration.

    Lanczos' method misses copies of the threefold eigenvalue that exact relations have, and the
    whole decomposition takes ten times as long from a thousand images on.
    """
    size = len(matrix)
    if size <= _SMALL:
        return torch.linalg.eigh(matrix)[1][:, -3:]
    # the start decides the last bits: always the same one
    start = np.random.default_rng(0).standard_normal((size, _BLOCK))
    basis = torch.linalg.qr(torch.from_numpy(start))[0]
    found = basis[:, :3]
    for _ in range(_MOST_ITERATIONS):
        image = matrix @ basis
        _, turn = torch.linalg.eigh(basis.T @ image)
        before, found = found, basis @ turn[:, -3:]
        basis = torch.linalg.qr(image @ turn)[0]
        if (found - before @ (before.T @ found)).norm() < _SAME_SPACE:
            break
    return found


def upgraded(planes: Float[Tensor, "n 2 3"]) -> Float[Tensor, "n 2 3"]:
    """Planes known up to a 3x3 matrix, made orthonormal (Tomasi and Kanade 1992, section 3.3).

    Least squares for the symmetric B with V_i B V_i^T = 1, then V_i B^1/2, row by row exactly.
    """
    planes = planes * (2 * len(planes)) ** 0.5 / planes.norm()
    pairs = ((0, 0), (1, 1), (0, 1))
    rows, target = [], []
    for a, b in pairs:
        outer = planes[:, a, :, None] * planes[:, b, None, :]
        outer = outer + outer.mT
        rows.append(torch.stack([outer[:, x, y] for x, y in _UPPER], dim=-1))
        target.append(torch.full((len(planes),), float(a == b) * 2.0, dtype=planes.dtype))
    design = torch.cat(rows)
    # off-diagonal elements of B stand twice in the sum
    factor = torch.tensor([1.0 if x == y else 2.0 for x, y in _UPPER], dtype=planes.dtype)
    solution = torch.linalg.pinv(design * factor, rtol=1e-6) @ torch.cat(target)
    metric = torch.zeros(3, 3, dtype=planes.dtype)
    for value, (x, y) in zip(solution, _UPPER, strict=True):
        metric[x, y] = metric[y, x] = value
    values, vectors = torch.linalg.eigh(metric)
    values = values.maximum(0.05 * values[-1].clamp_min(_TINY))
    return orthonormal(planes @ (vectors * values.sqrt()))


_UPPER = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def orthonormal(planes: Float[Tensor, "n 2 3"]) -> Float[Tensor, "n 2 3"]:
    """The nearest pairs of orthonormal rows."""
    left, _, right = torch.linalg.svd(planes, full_matrices=False)
    return left @ right


def rotations_of(planes: Float[Tensor, "n 2 3"]) -> Float[Tensor, "n 3 3"]:
    third = torch.linalg.cross(planes[:, 0], planes[:, 1])
    return torch.cat([planes, third[:, None]], dim=1)
