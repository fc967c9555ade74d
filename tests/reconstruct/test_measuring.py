"""A map against its own mirror image."""

from __future__ import annotations

import pytest
import torch

from cryospin.reconstruct.measuring import self_mirror_correlation
from cryospin.types import DensityMap
from cryospin.volumes.gridded import spherical_support
from phantoms import Blobs

BOX, PIXEL = 32, 4.0
MASK = DensityMap(spherical_support(BOX, 13.0, 2.0), PIXEL)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_handed_map_is_not_its_mirror_image(seed: int) -> None:
    values = Blobs.random(seed, count=20, spread=4.0, sigma=1.0).density(BOX).float()
    handed = self_mirror_correlation(DensityMap(values, PIXEL), MASK, 12.0)
    # beside its mirror image it has no hand
    both = values + values.flip(0).roll(1, 0)
    assert handed < 0.75
    assert self_mirror_correlation(DensityMap(both, PIXEL), MASK, 12.0) > 0.95


def test_a_ball_is() -> None:
    ball = DensityMap(spherical_support(BOX, 8.0, 3.0), PIXEL)
    noise = 0.02 * torch.randn(BOX, BOX, BOX, generator=torch.Generator().manual_seed(1))
    assert self_mirror_correlation(DensityMap(ball.values + noise, PIXEL), MASK, 8.0) > 0.9
