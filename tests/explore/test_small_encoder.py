"""The encoder of small images: what it sees, and what it answers."""

from __future__ import annotations

from dataclasses import replace

import torch

from cryospin.explore.small_encoder import BandLimitedImages, SmallEncoder
from cryospin.fourier.disk import FourierDisk
from phantoms import Blobs, PlantedParticles

BOX, SIDE = 32, 24
DISK = FourierDisk.of(BOX)
BLOBS = Blobs.random(3, spread=3.0)


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
