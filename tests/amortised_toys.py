"""An encoder and volumes of toy size, to be trained in a test."""

from __future__ import annotations

import torch
from torch import nn

from cryospin.explore.decoders import Decoder, ExplicitDecoder, ImplicitDecoder
from cryospin.explore.encoder import PYRAMID_SIGMAS_PIXEL, PoseEncoder
from cryospin.explore.heads import PoseHeads
from cryospin.particles.source import ParticleSource
from cryospin.particles.spectrum import signal_power
from cryospin.volumes.hartley import HartleyVolume
from cryospin.volumes.implicit import ImplicitVolume


def small_encoder(particles: ParticleSource, heads: int) -> PoseEncoder:
    """One convolution with batch norm in place of the VGG."""
    generator = torch.Generator().manual_seed(1)
    channels = len(PYRAMID_SIGMAS_PIXEL)
    convolution = nn.Conv2d(channels, 8, 3, stride=2)
    nn.init.kaiming_uniform_(convolution.weight, generator=generator)
    nn.init.zeros_(convolution.bias)
    backbone = nn.Sequential(convolution, nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
    heads_of = PoseHeads(72, heads, 1.0, generator, widths=(16,))
    return PoseEncoder(particles.disk, 8, backbone, heads_of)


def small_decoder(particles: ParticleSource, implicit: bool, width: int = 16) -> Decoder:
    generator = torch.Generator().manual_seed(2)
    power, disk = signal_power(particles), particles.disk
    if implicit:
        volume = ImplicitVolume(power, disk.box, generator, features=width, width=width, layers=2)
        return ImplicitDecoder(volume)
    return ExplicitDecoder(HartleyVolume.random(power, disk.radius, generator), 2)
