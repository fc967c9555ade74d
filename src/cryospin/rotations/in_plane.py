"""Turns about the view axis, of poses and of the images that show them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def view_turns(radians: Float[Tensor, " b"]) -> Float[Tensor, "b 3 3"]:
    """Rotations about the view axis, Rz(angle)."""
    cosine, sine, zero = radians.cos(), radians.sin(), torch.zeros_like(radians)
    rows = (cosine, -sine, zero), (sine, cosine, zero), (zero, zero, zero + 1)
    return torch.stack([each for row in rows for each in row], dim=-1).unflatten(-1, (3, 3))


def turned_images(
    images: Float[Tensor, "b d d"], turns: Float[Tensor, "b 3 3"], mode: str = "bilinear"
) -> Float[Tensor, "b d d"]:
    """Each image turned about its centre (pixel d // 2) by Rz: image'(x) = image(Rz^-1 x).

    Of a particle at (R, t) it shows the pose (Rz R, Rz t). mode: of the interpolation, "bilinear"
    or "bicubic"; zero outside.
    """
    side = images.shape[-1]
    inverse = turns.mT[:, :2, :2]
    # grid_sample measures from the middle of the box, in half boxes
    centre = inverse.new_full((2,), (2 * (side // 2) + 1) / side - 1)
    affine = torch.cat([inverse, (centre - inverse @ centre)[..., None]], dim=-1)
    grid = affine_grid(affine, [len(images), 1, side, side], align_corners=False)
    return grid_sample(images[:, None], grid, mode, align_corners=False)[:, 0]
