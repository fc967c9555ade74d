"""What a pair of images says about their orientations, and what the truth would say.

R_i = A_i over n_i: the two rows A_i (2x3) span the image's plane in the object's frame. All a
pair can tell, whatever the hand, is S_ij = A_i A_j^T, the upper left 2x2 block of R_i R_j^T:

    S_ij = c_ij c_ji^T + cos(tilt) p_ij p_ji^T,

with c_ij the direction in image i of the line both planes share (c_ij^T A_i = c_ji^T A_j), p_ij
the same turned by 90 degrees, and tilt the angle between the view directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class CommonLines:
    """The line each pair of images shares.

    angles: [i, j] is its direction in image i, in radians from x to y; turning the line of a
        pair by half a turn in both images changes nothing.
    weights: how much each pair is trusted, symmetric, 0 on the diagonal.
    offsets_pixel: [i, j] is what image i's line must be moved by along itself to lie upon that
        of j, so that offset_ij = t_j.c_ji - t_i.c_ij, with t the particles' shifts.
    """

    angles: Float[Tensor, "n n"]
    weights: Float[Tensor, "n n"]
    offsets_pixel: Float[Tensor, "n n"] | None = None

    def __len__(self) -> int:
        return len(self.angles)


@dataclass(frozen=True)
class Relations:
    """S_ij of each pair, with S_ji = S_ij^T, and how much it is trusted (0 on the diagonal)."""

    blocks: Float[Tensor, "n n 2 2"]
    weights: Float[Tensor, "n n"]

    def __len__(self) -> int:
        return len(self.weights)


def all_pairs(count: int) -> Float[Tensor, "n n"]:
    """Weight 1 for every pair."""
    return 1.0 - torch.eye(count, dtype=torch.float64)


def true_relations(rotations: Float[Tensor, "n 3 3"]) -> Relations:
    rows = rotations[:, :2].double()
    return Relations(torch.einsum("iax,jbx->ijab", rows, rows), all_pairs(len(rows)))


def true_common_lines(rotations: Float[Tensor, "n 3 3"]) -> CommonLines:
    """Along n_i x n_j, seen from either image; arbitrary where the views coincide."""
    rotations = rotations.double()
    views = rotations[:, 2]
    lines = torch.linalg.cross(views[:, None], views[None, :])
    # antisymmetric: the same line from both sides needs the same sign
    order = torch.arange(len(views))
    lines = torch.where((order[:, None] < order)[..., None], lines, -lines)
    seen = torch.einsum("iax,ijx->ija", rotations[:, :2], lines)
    return CommonLines(torch.atan2(seen[..., 1], seen[..., 0]), all_pairs(len(views)))


def blocks_of_tilts(
    angles: Float[Tensor, "n n"], cosine: Float[Tensor, "n n"]
) -> Float[Tensor, "n n 2 2"]:
    """S_ij from the common lines and the cosines of the angles between views."""
    c = torch.stack([angles.cos(), angles.sin()], dim=-1)
    p = torch.stack([-c[..., 1], c[..., 0]], dim=-1)
    other_c, other_p = c.transpose(0, 1), p.transpose(0, 1)
    return c[..., :, None] * other_c[..., None, :] + cosine[..., None, None] * (
        p[..., :, None] * other_p[..., None, :]
    )
