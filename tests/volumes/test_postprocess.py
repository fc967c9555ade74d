"""Postprocessing finds the B-factor that was put in, and never adds what is not known."""

import pytest
import torch

from cryospin.errors import BadDataError
from cryospin.fourier.fsc import fourier_shell_correlation, shell_sums, shells_of_spectrum
from cryospin.fourier.volume import volume_of_spectrum, volume_spectrum
from cryospin.types import DensityMap
from cryospin.volumes.masks import spherical_mask
from cryospin.volumes.postprocess import guinier_b_factor, postprocess_halves

BOX, PIXEL = 48, 1.5


def blurred(b_factor, noise, seed):
    """White density in a sphere, its amplitudes falling by exp(-B s^2 / 4); and noise."""
    generator = torch.Generator().manual_seed(9)
    values = torch.randn(BOX, BOX, BOX, generator=generator)
    values = values * spherical_mask(BOX, PIXEL, 20.0, 6.0).values
    squares = (shells_of_spectrum(BOX).float() / (BOX * PIXEL)) ** 2
    spectrum = volume_spectrum(values) * torch.exp(-0.25 * b_factor * squares)
    values = volume_of_spectrum(spectrum, (BOX, BOX, BOX))
    own = torch.Generator().manual_seed(seed)
    return DensityMap(values + noise * torch.randn(values.shape, generator=own), PIXEL)


def test_guinier_fit_finds_the_b_factor():
    power = volume_spectrum(blurred(90.0, 0.0, 1).values).abs().square()
    weights = torch.ones(BOX // 2 - 1, dtype=torch.float64)
    assert guinier_b_factor(power, weights, BOX * PIXEL, 3.2) == pytest.approx(-90, abs=12)
    assert guinier_b_factor(power, weights, BOX * PIXEL, 9.0) is None


def test_sharpening_flattens_the_amplitudes():
    halves = blurred(90.0, 0.02, 1), blurred(90.0, 0.02, 2)
    mask = spherical_mask(BOX, PIXEL, 24.0, 6.0)
    done = postprocess_halves(*halves, mask)
    assert done.b_factor_angstrom2 == pytest.approx(-90, abs=40)
    given = postprocess_halves(*halves, mask, b_factor_angstrom2=0.0)
    assert given.b_factor_angstrom2 == 0.0

    def fall(density):
        power = shell_sums(volume_spectrum(density.values).abs().square())
        power = power / shell_sums(torch.ones(BOX, BOX, BOX // 2 + 1))
        return float((power[8] / power[15]).log())

    assert abs(fall(done.density)) < 0.5 * abs(fall(given.density))
    truth = blurred(0.0, 0.0, 0).values
    curve = fourier_shell_correlation(done.density.values, truth * mask.values)
    assert curve[:10].min() > 0.9


def test_half_maps_that_share_nothing_are_refused():
    generator = torch.Generator().manual_seed(3)
    noise = [DensityMap(torch.randn(BOX, BOX, BOX, generator=generator), PIXEL) for _ in range(2)]
    with pytest.raises(BadDataError, match="do not agree"):
        postprocess_halves(*noise, spherical_mask(BOX, PIXEL, 24.0, 6.0))
