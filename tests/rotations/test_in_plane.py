"""Turns about the view axis: what turning an image means for its pose."""

from __future__ import annotations

import numpy as np
import torch

from cryospin.fourier.disk import FourierDisk, coefficients_to_images
from cryospin.rotations.in_plane import turned_images, view_turns
from phantoms import Blobs, random_turns

BOX, SIDE = 32, 24
DISK = FourierDisk.of(BOX)
BLOBS = Blobs.random(3, spread=3.0)


def test_a_turned_image_shows_the_turned_pose() -> None:
    """image(Rz^-1 x) of (R, t) is the image of (Rz R, Rz t): exact up to bilinear resampling."""
    rotations = random_turns(5, 1)
    shifts = torch.tensor([[1.0, -2.0]], dtype=torch.float64).expand(5, 2)
    turns = view_turns(torch.linspace(0.3, 5.0, 5)).double()

    def images(rotation: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        inner = DISK.prefix(SIDE // 2 - 1)
        return coefficients_to_images(BLOBS.coefficients(rotation, inner, shift), inner, SIDE)

    expected = images(turns @ rotations, (turns[:, :2, :2] @ shifts[..., None])[..., 0]).float()
    turned = turned_images(images(rotations, shifts).float(), turns.float())
    error = (turned - expected).square().sum() / expected.square().sum()
    # bilinear interpolation dims the highest frequencies; a wrong sign or centre gives above 0.3
    assert error < 0.01


def test_quarter_turns_are_exact() -> None:
    image = torch.randn(1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    image[:, 0] = image[:, :, 0] = 0  # the row and column without a mate across the centre
    four = image
    for _ in range(4):
        four = turned_images(four, view_turns(torch.tensor([np.pi / 2])).float())
    torch.testing.assert_close(four, image, atol=1e-4, rtol=0)
