"""What the encoder sees and the shape of the published backbone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cryospin.explore.encoder import (
    PYRAMID_SIGMAS_PIXEL,
    PoseEncoder,
    VggBackbone,
    gaussian_pyramid,
)
from cryospin.fourier.disk import FourierDisk, coefficients_to_images
from phantoms import disk_coefficients

DISK = FourierDisk.of(16)


def noise(count: int) -> torch.Tensor:
    return disk_coefficients(count, DISK, 1).to(torch.complex64)


def test_pyramid_channels_are_normalised_images_ever_smoother() -> None:
    levels = gaussian_pyramid(noise(3), DISK, 16)
    assert levels.shape == (3, len(PYRAMID_SIGMAS_PIXEL), 16, 16)
    torch.testing.assert_close(levels.mean(dim=(-2, -1)), torch.zeros(3, 5), rtol=0, atol=1e-5)
    torch.testing.assert_close(levels.std(dim=(-2, -1)), torch.ones(3, 5), rtol=0, atol=1e-4)
    roughness = levels.diff(dim=-1).square().mean(dim=(0, 2, 3))
    assert (roughness.diff() < 0).all()
    image = coefficients_to_images(noise(3), DISK)
    scaled = (image - image.mean(dim=(1, 2), keepdim=True)) / image.std(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(levels[:, 0], scaled, rtol=1e-4, atol=1e-4)


def test_a_constant_image_is_no_division_by_zero() -> None:
    assert (
        gaussian_pyramid(torch.zeros(1, len(DISK), dtype=torch.complex64), DISK, 16)
        .isfinite()
        .all()
    )


def test_the_backbone_is_the_published_one() -> None:
    layers = list(VggBackbone(5, 64).layers)
    widths = [layer.out_channels for layer in layers if isinstance(layer, nn.Conv2d)]
    assert widths == [64] * 2 + [128] * 2 + [256] * 7
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in layers) == len(widths)
    pools = [layer for layer in layers if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d)]
    names = [type(pool).__name__[:3] for pool in pools]
    assert names == ["Max", "Max", "Max", "Avg", "Avg", "Max"]


@pytest.mark.parametrize("side", [8, 20, 64])
def test_features_are_as_many_as_announced(side: int) -> None:
    backbone = VggBackbone(2, side).eval()
    assert backbone(torch.zeros(1, 2, side, side)).shape == (1, backbone.features)


def test_same_generator_same_encoder() -> None:
    """And torch's global generator, which other threads use, decides nothing."""
    outputs = []
    for stray in (0, 1):
        torch.manual_seed(stray)
        encoder = PoseEncoder.vgg(DISK, 2, 1.0, torch.Generator().manual_seed(5), side=8)
        outputs.append(encoder.eval()(noise(2)))
    assert torch.equal(outputs[0][0], outputs[1][0])
    assert torch.equal(outputs[0][1], outputs[1][1])


def test_a_small_encoder_looks_at_what_its_images_hold() -> None:
    generator = torch.Generator().manual_seed(5)
    assert PoseEncoder.vgg(DISK, 1, 1.0, generator, side=8, widths=(8,)).disk.radius == 3


def test_longer_coefficients_are_read_to_the_encoders_disk() -> None:
    generator = torch.Generator().manual_seed(5)
    encoder = PoseEncoder.vgg(DISK.prefix(3.0), 2, 1.0, generator, side=8, widths=(8,)).eval()
    short = noise(2)[:, : len(DISK.prefix(3.0))]
    assert torch.equal(encoder(noise(2))[0], encoder(short)[0])
