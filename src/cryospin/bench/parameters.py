"""How many numbers a method learns, by part."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from cryospin.explore.small_encoder import SmallEncoder
from cryospin.particles.source import ParticleSource
from cryospin.particles.spectrum import signal_power
from cryospin.reconstruct.amortised import AmortisedTraining
from cryospin.reconstruct.semi_amortised import SemiAmortised
from cryospin.volumes.hartley import HartleyVolume
from cryospin.volumes.implicit import ImplicitVolume


def parameter_counts(search: Any, particles: ParticleSource) -> dict[str, int] | None:
    """Learned numbers of an explorer's encoder and volume; None for one that learns none."""
    generator = torch.Generator().manual_seed(0)
    if isinstance(search, SemiAmortised):
        stage = search.search
        small = SmallEncoder(stage.side, stage.heads, 0.0, generator, width=stage.width)
        return {"encoder": _learned(small), "volume": 0}
    if not isinstance(search, AmortisedTraining):
        return None
    disk, power = particles.disk.prefix(search.last_radius), signal_power(particles)
    encoder = search.make_encoder(disk, search.heads, 0.0, generator)
    volume: nn.Module
    if search.implicit:
        volume = ImplicitVolume(power, disk.box, generator)
    else:
        volume = HartleyVolume.random(
            power, disk.radius, generator, oversampling=search.oversampling
        )
    return {"encoder": _learned(encoder), "volume": _learned(volume)}


def _learned(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
