"""The particle's power from images of unknown poses, against the map they were made of."""

from __future__ import annotations

import numpy as np
import torch

from cryospin.fourier.disk import FourierDisk
from cryospin.particles.prepare import PreparedParticles
from cryospin.particles.spectrum import information_per_image, signal_power

DISK = FourierDisk.of(32)
SHELL = torch.as_tensor(DISK.shell, dtype=torch.long)
SHELLS = int(SHELL.max()) + 1


def simulated(count: int, power: torch.Tensor, seed: int) -> PreparedParticles:
    """Projections of the given power per shell under a CTF of its own for each, and noise."""
    generator = torch.manual_seed(seed)
    shape = (count, len(DISK))
    signal = torch.randn(shape, dtype=torch.complex64, generator=generator) * power[SHELL].sqrt()
    noise = torch.randn(shape, dtype=torch.complex64, generator=generator)
    ctf = torch.rand(shape, generator=generator)
    return PreparedParticles(
        DISK, 2.0, tuple(map(str, range(count))), ctf * signal + noise, ctf,
        torch.zeros(count, dtype=torch.long), torch.ones(1, SHELLS),
    )  # fmt: skip


def test_power_is_that_of_the_projections() -> None:
    power = 3.0 / (1 + torch.arange(SHELLS)) ** 1.5
    found = signal_power(simulated(3000, power, 1))
    assert found.shape == (SHELLS,)
    # noise of power 1 in 3000 images of a ring's coefficients, over a mean CTF^2 of a third
    error = 3 * (1 + power) / torch.bincount(SHELL).mul(3000).sqrt()
    assert ((found - power).abs() < 4 * error).all()


def test_no_shell_dies_where_noise_is_overestimated() -> None:
    particles = simulated(500, torch.zeros(SHELLS), 2)
    particles.coefficients.mul_(0.9)
    found = signal_power(particles)
    assert torch.isfinite(found).all() and (found > 0).all()


def test_information_is_the_power_above_the_noise() -> None:
    power = torch.full((SHELLS,), 0.6)
    particles = simulated(2000, power, 3)
    inside = int(np.count_nonzero(DISK.magnitude <= 6))
    # mean CTF^2 of a uniform draw is a third
    assert abs(information_per_image(particles, 6.0) / (0.2 * inside) - 1) < 0.1
    assert information_per_image(simulated(2000, torch.zeros(SHELLS), 4), 6.0) < 0.02 * inside
