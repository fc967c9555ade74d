"""The transform between Fourier pixels against the sum that defines it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cryospin.fourier.disk import FourierDisk, images_to_coefficients
from cryospin.fourier.nonuniform import NonuniformTransform

# of coefficients of unit variance; the kernel is good to 1e-5
TOLERANCE = 1e-4


def images(box: int) -> torch.Tensor:
    return torch.randn(3, box, box, generator=torch.Generator().manual_seed(box))


@pytest.mark.parametrize("box", [16, 30, 48])
def test_any_frequency_is_the_sum_over_pixels(box: int) -> None:
    rng = np.random.default_rng(1)
    # up to Nyquist and beyond, where the transform repeats
    frequencies = rng.uniform(-0.6 * box, 0.6 * box, (200, 2))
    x = np.arange(box) - box // 2
    waves = np.exp(-2j * np.pi * frequencies[:, :, None] * x / box)
    pixels = images(box)
    expected = np.einsum("kx,ky,byx->bk", waves[:, 0], waves[:, 1], pixels.numpy()) / box
    found = NonuniformTransform.at(box, frequencies)(pixels)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=TOLERANCE)


def test_on_the_pixels_it_is_the_plain_transform() -> None:
    disk = FourierDisk.of(32)
    transform = NonuniformTransform.at(32, np.stack([disk.kx, disk.ky], axis=1))
    pixels = images(32)
    expected = images_to_coefficients(pixels, disk)
    torch.testing.assert_close(transform(pixels), expected, rtol=0, atol=TOLERANCE)
