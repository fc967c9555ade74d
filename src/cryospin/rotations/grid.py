"""Grids of orientations that use what the pixel grid itself is symmetric under.

Half-turns of the *view* about its three axes map a central slice onto itself: the plane is
the same, its coordinates change sign. So a grid is stored as base rotations, each standing
for four, and `fourier.parity` scores the four for the price of one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.rotations.healpix import healpix_directions

VIEW_HALF_TURNS = torch.tensor(
    [[1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]], dtype=torch.float32
).diag_embed()
"""Identity and the half-turns about view z, y, x: frequencies (kx, ky) become (-kx, -ky),
(-kx, ky), (kx, -ky)."""


@lru_cache(maxsize=8)
def view_half_turns(device: torch.device) -> Float[Tensor, "4 3 3"]:
    """`VIEW_HALF_TURNS` on a device; not to be written to."""
    return VIEW_HALF_TURNS.to(device)


@dataclass(frozen=True)
class OrientationGrid:
    """`base` (g, 3, 3); the grid is every `VIEW_HALF_TURNS[v] @ base[g]`.

    spacing_degrees: about the distance between neighbouring view directions.
    """

    base: Float[Tensor, "g 3 3"]
    spacing_degrees: float

    @classmethod
    def of(cls, nside: int, in_plane: int) -> OrientationGrid:
        """HEALPix directions of one hemisphere x `in_plane` / 2 angles in half a turn."""
        directions = healpix_directions(nside)
        x, y, z = np.moveaxis(np.asarray(directions), -1, 0)
        equator = np.abs(z) < 1e-9
        upper = (z > 1e-9) | (equator & ((y > 1e-9) | ((np.abs(y) < 1e-9) & (x > 0))))
        views = torch.as_tensor(np.asarray(directions)[upper])
        angles = torch.arange(in_plane // 2, dtype=torch.float64) * (2 * np.pi / in_plane)
        base = rotations_of_views(views)[:, None]
        spin = roma.rotvec_to_rotmat(
            torch.stack([torch.zeros_like(angles), torch.zeros_like(angles), angles], dim=-1)
        )
        spacing = float(np.degrees(np.sqrt(4 * np.pi / (12 * nside**2))))
        return cls((spin[None] @ base).reshape(-1, 3, 3).float(), spacing)

    def turned(self, rotation: Float[Tensor, "3 3"]) -> OrientationGrid:
        """The grid seen from an object turned by `rotation`: as even, elsewhere."""
        return OrientationGrid(self.base @ rotation, self.spacing_degrees)

    def asymmetric_unit(self, operators: Float[Tensor, "s 3 3"]) -> OrientationGrid:
        """One representative of each class {D R S}: half-turns D, symmetry operators S."""
        if len(operators) == 1:
            return self
        # closeness of the best half-turned copy to a rotation in general position decides: to
        # the identity, copies would tie wherever the group has half-turns about an axis
        device = self.base.device
        copies = torch.einsum("vij,gjk,skl->sgvil", view_half_turns(device), self.base, operators)
        somewhere = roma.rotvec_to_rotmat(torch.tensor([0.3, 0.5, 0.7])).to(device)
        closeness = (copies * somewhere).sum(dim=(-1, -2)).amax(dim=-1)
        keep = closeness[0] >= closeness.amax(dim=0) - 1e-5
        return OrientationGrid(self.base[keep], self.spacing_degrees)

    def rotations(self, half_turn: Tensor, index: Tensor) -> Float[Tensor, "*n 3 3"]:
        return view_half_turns(self.base.device)[half_turn] @ self.base[index]

    def to(self, device: torch.device) -> OrientationGrid:
        return replace(self, base=self.base.to(device))


def quaternions_of(rotations: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 4"]:
    """Unit quaternions (x, y, z, w) up to sign: the longest row of 4 q q^T, normalised (Markley
    2008, eqs. 7 to 9). Nothing is chosen by its value on the host: a card goes on."""
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(-1) for row in rotations.unbind(-2))
    rows = [
        [1 + a - e - i, b + d, c + g, h - f],
        [b + d, 1 - a + e - i, f + h, c - g],
        [c + g, f + h, 1 - a - e + i, d - b],
        [h - f, c - g, d - b, 1 + a + e + i],
    ]
    square = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    longest = square.diagonal(dim1=-2, dim2=-1).argmax(dim=-1)
    index = longest[..., None, None].expand(*longest.shape, 1, 4)
    return torch.nn.functional.normalize(square.gather(-2, index)[..., 0, :], dim=-1)


def rotations_of_views(directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 3"]:
    """A rotation whose third row is the view direction, in-plane angle left free."""
    z = directions
    theta = torch.acos(z[:, 2].clamp(-1, 1))
    phi = torch.atan2(z[:, 1], z[:, 0])
    zero, one = torch.zeros_like(phi), torch.ones_like(phi)
    about_z = torch.stack(
        [phi.cos(), phi.sin(), zero, -phi.sin(), phi.cos(), zero, zero, zero, one], dim=-1
    ).reshape(-1, 3, 3)
    about_y = torch.stack(
        [theta.cos(), zero, -theta.sin(), zero, one, zero, theta.sin(), zero, theta.cos()], dim=-1
    ).reshape(-1, 3, 3)
    return about_y @ about_z
