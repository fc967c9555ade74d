"""What lies around a particle."""

from __future__ import annotations

import pytest
import torch

from cryospin.particles.background import normalise_background, soft_circle

BOX = 32


def test_the_background_is_brought_to_mean_0_and_deviation_1() -> None:
    background = soft_circle(BOX, 8.0, 1.0) == 0
    noise = torch.randn(10, BOX, BOX, generator=torch.manual_seed(1))
    images = normalise_background(40 * noise + 1000 + 20 * (~background), background)
    outside = images[:, background]
    torch.testing.assert_close(outside.mean(1), torch.zeros(10), rtol=0, atol=1e-4)
    torch.testing.assert_close(outside.std(1), torch.ones(10), rtol=0, atol=1e-4)


def test_soft_circle_falls_from_one_to_zero() -> None:
    mask = soft_circle(BOX, 8.0, 4.0)
    axis = torch.arange(BOX) - BOX // 2
    radius = torch.hypot(axis[:, None].float(), axis.float())
    assert (mask[radius <= 8] == 1).all() and (mask[radius >= 12] == 0).all()
    along = mask[BOX // 2, BOX // 2 :]
    assert (along[1:] <= along[:-1]).all()
    assert float(mask[BOX // 2, BOX // 2 + 10]) == pytest.approx(0.5, abs=1e-6)
