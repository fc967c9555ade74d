"""Shifts of particles from how far apart their common lines are.

offset_ij = t_j.c_ji - t_i.c_ij for each pair: linear in all shifts at once (Singer and
Shkolnisky 2012, "Center of mass operators for cryo-EM"), up to the origin of the map.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.pairs.relations import CommonLines
from cryospin.pairs.synchronise import robust_weight, stacked, unstacked

_ROUNDS = 6
_SCALE_PIXEL = 2.0
# of a pair's weight: what is not determined, the origin, stays near the boxes' centres
_RIDGE = 1e-3


def shifts_from_offsets(lines: CommonLines, weights: Float[Tensor, "n n"]) -> Float[Tensor, "n 2"]:
    """Least squares, re-weighted; `weights` are those of trusted pairs."""
    offsets = lines.offsets_pixel
    if offsets is None:
        return torch.zeros(len(lines), 2, dtype=torch.float64)
    offsets = offsets.double()
    angles = lines.angles.double()
    directions = torch.stack([angles.cos(), angles.sin()])  # (2, i, j)
    shifts = torch.zeros(len(lines), 2, dtype=torch.float64)
    residual = torch.zeros_like(offsets)
    for _ in range(_ROUNDS):
        trust = weights.double() * robust_weight(residual, _SCALE_PIXEL)
        shifts = _solved(directions, offsets, trust)
        along = (shifts.T[:, :, None] * directions).sum(dim=0)  # t_i.c_ij
        residual = offsets - along.T + along
    return shifts


def _solved(directions: Tensor, offsets: Tensor, trust: Tensor) -> Tensor:
    """D_i t_i - sum_j w c_ij c_ji^T t_j = -sum_j w offset_ij c_ij."""
    count = len(trust)
    rows = []
    for a in range(2):
        row = []
        for b in range(2):
            block = -trust * directions[a] * directions[b].T
            diagonal = (trust * directions[a] * directions[b]).sum(dim=1)
            row.append(block + torch.diag(diagonal))
        rows.append(torch.cat(row, dim=1))
    matrix = torch.cat(rows)
    ridge = _RIDGE * trust.sum() / count
    matrix.diagonal().add_(ridge.clamp_min(1e-12))
    right = -(trust * offsets * directions).sum(dim=2).T  # (n, 2)
    solution = torch.linalg.solve(matrix, stacked(right[..., None]))
    return unstacked(solution)[..., 0]
