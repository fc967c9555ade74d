"""Dense or dark: a particle's values have a long tail on its side."""

from __future__ import annotations

import pytest
import torch

from cryospin.volumes.gridded import spherical_support
from cryospin.volumes.map_sign import looks_dark
from phantoms import Blobs

BOX = 32
SUPPORT = spherical_support(BOX, 13.0, 2.0)


def noise(level: float) -> torch.Tensor:
    return level * torch.randn(BOX, BOX, BOX, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("seed", range(5))
def test_particles(seed: int) -> None:
    density = Blobs.random(seed).density(BOX).float()
    density = density + noise(0.1 * float(density.std()))
    assert not looks_dark(density, SUPPORT)
    assert looks_dark(-density, SUPPORT)
    # a constant added, as a map of images without their mean has, changes nothing
    assert looks_dark(5.0 - density, SUPPORT)


def test_a_hollow_shell_is_a_particle_too() -> None:
    shell = spherical_support(BOX, 12.0, 2.0) - spherical_support(BOX, 9.5, 2.0)
    assert not looks_dark(shell, SUPPORT)


def test_noise_and_nothing_are_neither() -> None:
    for density in (noise(1.0), -noise(1.0), torch.zeros(BOX, BOX, BOX)):
        assert not looks_dark(density, SUPPORT)
