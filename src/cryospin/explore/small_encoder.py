"""An encoder for the first stage alone: it sees small band-limited images, and is fast.

Exploration needs low frequencies only, so a Fourier crop to a few dozen pixels loses nothing,
and at that size fully connected layers learn as much per image as convolutions at a twentieth
of the price (docs/method.md has the figures). The heads are those of the paper.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cryospin.explore.heads import PoseHeads
from cryospin.fourier.disk import FourierDisk, coefficients_to_images
from cryospin.fourier.image_batch import ImageBatch
from cryospin.particles.source import ParticleSource
from cryospin.particles.spectrum import signal_power

_SCALE_SAMPLE = 500


@dataclass(frozen=True)
class BandLimitedImages:
    """What the encoder looks at: the best linear estimate of each projection from its image.

    x C tau^2 / (C^2 tau^2 + noise) with tau^2 the particle's power on the shell: contrast
    reversals of the CTF are undone, and shells that are noise are dark. side: pixels.
    noise_level: as a `ParticleSource` has it.
    """

    disk: FourierDisk
    power: Float[Tensor, " k"]
    side: int
    noise_level: float
    scale: float = 1.0

    @classmethod
    def of(cls, particles: ParticleSource, side: int) -> BandLimitedImages:
        disk = particles.disk.prefix(side // 2 - 1)
        power = signal_power(particles)[disk.shells(particles.device)]
        plain = cls(disk, power, side, particles.noise_level)
        sample = slice(0, _SCALE_SAMPLE)
        deviation = plain.images(particles.batch(sample)).std()
        return replace(plain, scale=float(1.0 / deviation))

    def images(self, images: ImageBatch) -> Float[Tensor, "b side side"]:
        """Images of deviation 1 on the average; they may reach further than is looked at."""
        images = images.prefix(self.disk.radius)
        weighted = images.ctf * self.power
        filtered = images.coefficients * (weighted / (images.ctf * weighted + self.noise_level))
        return self.scale * coefficients_to_images(filtered, self.disk, self.side)


class SmallEncoder(nn.Module):
    """Three fully connected layers and M heads; (b, side, side) to poses."""

    def __init__(
        self,
        side: int,
        heads: int,
        shift_range_pixel: float,
        generator: torch.Generator,
        *,
        width: int = 512,
        features: int = 256,
        head_width: int = 128,
    ):
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        sizes = (side**2, width, width, features)
        for inner, outer in zip(sizes[:-1], sizes[1:], strict=True):
            linear = nn.Linear(inner, outer)
            for parameter in (linear.weight, linear.bias):
                nn.init.uniform_(parameter, -(inner**-0.5), inner**-0.5, generator=generator)
            # each image by itself: an answer must not depend on the batch it came with
            layers += [linear, nn.LayerNorm(outer), nn.ReLU()]
        self.backbone = nn.Sequential(*layers)
        self.heads = PoseHeads(features, heads, shift_range_pixel, generator, widths=(head_width,))

    def forward(
        self, images: Float[Tensor, "b side side"]
    ) -> tuple[Float[Tensor, "b m 3 3"], Float[Tensor, "b m 2"]]:
        """Rotations and shifts in pixels, one per head."""
        return self.heads(self.backbone(images))
