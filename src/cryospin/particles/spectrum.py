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
    squares = _mean(particles, lambda images: images.ctf.square())
    transfer = _per_shell(squares, shell, population)
    excess = _per_shell(_excess(particles), shell, population)
    return (excess.clamp_min(_LEAST_EXCESS) / transfer.clamp_min(1e-6)).float()


def information_per_image(particles: ParticleSource, radius: float) -> float:
    """Mean power above the noise within a radius, in nats: what a known pose would explain."""
    return float(_excess(particles)[: particles.disk.length_within(radius)].sum().clamp_min(0.0))


def _excess(particles: ParticleSource) -> Float[Tensor, " k"]:
    """Mean power of each coefficient above that of the noise, which is 1."""
    return _mean(particles, lambda images: images.coefficients.abs().square()) - 1.0


def _mean(
    particles: ParticleSource, values: Callable[[ImageBatch], Float[Tensor, "b k"]]
) -> Float[Tensor, " k"]:
    """Over all particles, float64."""
    total = torch.zeros(len(particles.disk), dtype=torch.float64, device=particles.device)

    def sums(rows: slice) -> Float[Tensor, " k"]:
        return values(particles.batch(rows)).double().sum(0)

    for part in in_blocks_on(particles.device, sums, len(particles), _BLOCK):
        total += part
    return total / len(particles)


def _per_shell(
    values: Float[Tensor, " k"], shell: Tensor, population: Tensor
) -> Float[Tensor, " s"]:
    return values.new_zeros(len(population)).index_add_(0, shell, values) / population
