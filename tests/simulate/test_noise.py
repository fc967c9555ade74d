from __future__ import annotations

import numpy as np
import torch

from cryospin.simulate.noise import draw_noise, noise_power

BOX, COUNT = 32, 400


def measured_power(exponent: float) -> torch.Tensor:
    noise = draw_noise(1, np.arange(COUNT), BOX, exponent).double()
    return torch.fft.rfft2(noise, norm="ortho").abs().square().mean(dim=0)


def test_white_and_coloured_noise_have_unit_variance() -> None:
    for exponent in (0.0, 1.0, 2.0):
        noise = draw_noise(1, np.arange(COUNT), BOX, exponent).double()
        # coloured pixels are correlated: fewer independent ones, a larger standard error
        assert abs(float(noise.var()) - 1.0) < 0.02
        assert abs(float(noise.mean())) < 0.02


def test_spectrum_is_the_one_asked_for() -> None:
    for exponent in (0.0, 2.0):
        ratio = measured_power(exponent) / noise_power(BOX, exponent)
        # a mean of COUNT exponential variables (of half as many degrees of freedom on the
        # self-conjugate frequencies): five standard errors
        assert (ratio - 1.0).abs().max() < 5 * np.sqrt(2 / COUNT)


def test_power_law_above_the_corner() -> None:
    power = noise_power(256, 2.0)[0]
    assert torch.isclose(power[64] / power[128], torch.tensor(4.0).double(), rtol=0.05)
    assert torch.allclose(noise_power(64, 0.0), torch.ones(64, 33).double())


def test_an_image_depends_on_seed_and_index_alone() -> None:
    together = draw_noise(1, np.array([3, 8, 5]), BOX, 0.0)
    alone = draw_noise(1, np.array([8]), BOX, 0.0)
    assert torch.equal(together[1], alone[0])
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(draw_noise(2, np.array([8]), BOX, 0.0), alone)
