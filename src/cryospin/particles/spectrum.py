"""What the images say about the particle's power before any pose is known.

By the central slice theorem the mean power of projections on a ring is the map's mean power
on the shell: orientations and shifts drop out.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.fourier.image_batch import ImageBatch
from cryospin.parallel import in_blocks_on
from cryospin.particles.source import ParticleSource

_BLOCK = 100
_LEAST_EXCESS = 1e-3  # of the noise: what is left of it when noise is known to a per mille


def signal_power(particles: ParticleSource) -> Float[Tensor, " s"]:
    """Mean |P|^2 of projections per shell of the box: power above the noise over mean CTF^2."""
    shell = particles.disk.shells(particles.device)
    population = particles.disk.population(particles.device)
    power, squares = _means(particles, _power, _transfer)
    transfer = _per_shell(squares, shell, population)
    excess = _per_shell(power - particles.noise_level, shell, population)
    return (excess.clamp_min(_LEAST_EXCESS) / transfer.clamp_min(1e-6)).float()


def prior_precision(particles: ParticleSource) -> Float[Tensor, " s"]:
    """1/tau^2 per shell for `volumes.gridded.wiener_volume`, whose noise it is measured in: that
    which a mask leaves in each coefficient."""
    return particles.noise_level / signal_power(particles)


def information_per_image(particles: ParticleSource, radius: float) -> float:
    """Mean power above the noise within a radius, in nats: what a known pose would explain."""
    (power,) = _means(particles, _power)
    excess = power - particles.noise_level
    return float(excess[: particles.disk.length_within(radius)].sum().clamp_min(0.0))


def _power(images: ImageBatch) -> Float[Tensor, "b k"]:
    return images.coefficients.abs().square()


def _transfer(images: ImageBatch) -> Float[Tensor, "b k"]:
    return images.ctf.square()


def _means(
    particles: ParticleSource, *values: Callable[[ImageBatch], Float[Tensor, "b k"]]
) -> list[Float[Tensor, " k"]]:
    """Of each, over all particles, float64; images are asked for once."""
    totals = [
        torch.zeros(len(particles.disk), dtype=torch.float64, device=particles.device)
        for _ in values
    ]

    def sums(rows: slice) -> list[Float[Tensor, " k"]]:
        images = particles.batch(rows)
        return [each(images).double().sum(0) for each in values]

    for parts in in_blocks_on(particles.device, sums, len(particles), _BLOCK):
        for total, part in zip(totals, parts, strict=True):
            total += part
    return [total / len(particles) for total in totals]


def _per_shell(
    values: Float[Tensor, " k"], shell: Tensor, population: Tensor
) -> Float[Tensor, " s"]:
    return values.new_zeros(len(population)).index_add_(0, shell, values) / population
