"""The encoder of small images: what it sees, and what turning an image means for its pose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from cryospin.explore.small_encoder import (
    BandLimitedImages,
    SmallEncoder,
    turned_images,
    view_turns,
)
from cryospin.fourier.disk import FourierDisk, coefficients_to_images
from phantoms import Blobs, PlantedParticles, random_turns

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


def test_images_have_unit_scale_and_undo_contrast_reversal() -> None:
    planted = PlantedParticles.of(BLOBS, DISK, 100, seed=1, signal=100.0).particles
    looked = BandLimitedImages.of(planted, SIDE)
    images = looked.images(planted.images())
    assert images.shape == (100, SIDE, SIDE)
    assert abs(float(images.std()) - 1) < 0.01
    negative = replace(planted, coefficients=-planted.coefficients, ctf=-planted.ctf)
    reversed_contrast = looked.images(negative.images())
    torch.testing.assert_close(reversed_contrast, images)


def test_an_answer_does_not_depend_on_the_rest_of_the_batch() -> None:
    encoder = SmallEncoder(SIDE, 3, 2.0, torch.Generator().manual_seed(1), width=32, features=16)
    images = torch.randn(6, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    rotations, shifts = encoder(images)
    alone = encoder(images[:1])
    torch.testing.assert_close(alone[0], rotations[:1], atol=1e-5, rtol=1e-5)
    assert rotations.shape == (6, 3, 3, 3) and shifts.abs().max() <= 2.0
