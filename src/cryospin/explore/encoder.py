"""From an image to features: the input every encoder sees, and the published backbone.

The backbone is that of cryoAI (Levy et al. 2022) and CryoSPIN (section 4.1): a
VGG16 (Simonyan and Zisserman 2015) with batch norm, thinner at the end. What is made of the
features is in `explore.heads`; any module from (b, c, side, side) to (b, f) is a backbone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from cryospin.explore.heads import PoseHeads
from cryospin.fourier.disk import FourierDisk, coefficients_to_images

PYRAMID_SIGMAS_PIXEL = (0.0, 1.0, 2.0, 4.0, 8.0)
_VGG = ((64, 2, nn.MaxPool2d), (128, 2, nn.MaxPool2d), (256, 3, nn.MaxPool2d)) + (
    (256, 2, nn.AvgPool2d),
) * 2


def gaussian_pyramid(
    coefficients: Complex[Tensor, "b k"],
    disk: FourierDisk,
    side: int,
    sigmas_pixel: Sequence[float] = PYRAMID_SIGMAS_PIXEL,
) -> Float[Tensor, "b c side side"]:
    """The image blurred by Gaussians of several widths, each channel of mean 0, deviation 1.

    sigmas_pixel: in pixels of the box; `side` pixels across the same field of view.
    """
    device, sigmas = coefficients.device, tuple(sigmas_pixel)
    filters = disk.once(("pyramid", sigmas, device), lambda: _blurs(disk, sigmas).to(device))
    levels = coefficients_to_images(coefficients[:, None, : len(disk)] * filters, disk, side)
    mean = levels.mean(dim=(-2, -1), keepdim=True)
    deviation = levels.std(dim=(-2, -1), keepdim=True)
    return (levels - mean) / deviation.clamp_min(1e-6)


def _blurs(disk: FourierDisk, sigmas_pixel: tuple[float, ...]) -> Float[Tensor, "c k"]:
    """What each Gaussian does to each coefficient."""
    squared = torch.as_tensor((disk.magnitude / disk.box) ** 2, dtype=torch.float32)
    widths = torch.as_tensor(sigmas_pixel, dtype=torch.float32)
    return torch.exp(-2 * np.pi**2 * widths[:, None] ** 2 * squared)


class VggBackbone(nn.Module):
    """Blocks of 2, 2, 3, 2, 2 convolutions with 64, 128, 256, 256, 256 channels, each block
    halving the image (three by their maximum, two by their mean), and one last maximum.

    side: of the images, in pixels; below 64 the last halvings fall away.
    """

    def __init__(self, channels: int, side: int):
        super().__init__()
        layers: list[nn.Module] = []
        for width, convolutions, pool in _VGG:
            for _ in range(convolutions):
                layers += [
                    nn.Conv2d(channels, width, 3, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(inplace=True),
                ]
                channels = width
            if side > 1:
                layers.append(pool(2))
                side //= 2
        if side > 1:
            layers.append(nn.MaxPool2d(2))
            side //= 2
        # channels last: half the time of torch's default layout on CPUs
        self.layers = nn.Sequential(*layers)
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                weight = layer.weight.data
                layer.weight.data = weight.contiguous(memory_format=torch.channels_last)
        self.features = channels * side**2

    def forward(self, images: Float[Tensor, "b c side side"]) -> Float[Tensor, "b f"]:
        return self.layers(images.contiguous(memory_format=torch.channels_last)).flatten(1)


class PoseEncoder(nn.Module):
    """Whitened coefficients to M candidate poses: pyramid, backbone, heads.

    disk: the coefficients that are looked at, at most what images of `side` pixels can hold.
    """

    def __init__(self, disk: FourierDisk, side: int, backbone: nn.Module, heads: PoseHeads):
        super().__init__()
        self.disk, self.side = disk.prefix(min(disk.radius, side // 2 - 1)), side
        self.backbone, self.heads = backbone, heads

    @classmethod
    def vgg(
        cls,
        disk: FourierDisk,
        heads: int,
        shift_range_pixel: float,
        generator: torch.Generator,
        *,
        side: int | None = None,
        widths: tuple[int, ...] = (512, 256),
    ) -> PoseEncoder:
        """The published one: VGG at full box, heads of 512 and 256 units."""
        side = disk.box if side is None else side
        backbone = VggBackbone(len(PYRAMID_SIGMAS_PIXEL), side)
        initialise_convolutions(backbone, generator)
        return cls(
            disk,
            side,
            backbone,
            PoseHeads(backbone.features, heads, shift_range_pixel, generator, widths=widths),
        )

    def forward(
        self, coefficients: Complex[Tensor, "b K"]
    ) -> tuple[Float[Tensor, "b m 3 3"], Float[Tensor, "b m 2"]]:
        """Rotations and shifts in pixels, one per head."""
        images = gaussian_pyramid(coefficients[:, : len(self.disk)], self.disk, self.side)
        return self.heads(self.backbone(images))


def initialise_convolutions(module: nn.Module, generator: torch.Generator) -> None:
    """He et al. 2015, from a generator of the caller's: torch's global one belongs to no run."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(
                layer.weight, mode="fan_out", nonlinearity="relu", generator=generator
            )
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
