"""A half-set whose images are another rank's: known, whitened anew, never read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from cryospin.fourier.disk import FourierDisk
from cryospin.particles.absent import AbsentParticles


@pytest.fixture
def absent() -> AbsentParticles:
    disk = FourierDisk.of(16, 6)
    return AbsentParticles(
        disk, 3.0, ("1@a", "2@a"), torch.zeros(2).long(), torch.ones(1, 7), noise_level=0.5
    )


def test_what_is_known(absent: AbsentParticles) -> None:
    assert len(absent) == 2 and absent.device.type == "cpu" and absent.field_angstrom == 48.0
    better = absent.rewhitened(torch.full((1, 7), 2.0))
    assert float(better.noise_power[0, 3]) == 2.0 and better.uids == absent.uids


@pytest.mark.parametrize(
    "asked",
    [
        lambda p: p.images(),
        lambda p: p.batch(slice(0, 1)),
        lambda p: p.portion(5.0),
        lambda p: p.select(np.arange(1)),
        lambda p: p.within(4.0),
        lambda p: p.to(torch.device("cpu")),
    ],
)
def test_what_is_not(absent: AbsentParticles, asked: Callable[[AbsentParticles], object]) -> None:
    with pytest.raises(RuntimeError, match="another rank's"):
        asked(absent)
