"""FSC: identities, known mixtures of signal and noise, threshold crossings."""

import math

import pytest
import torch

from cryospin.fourier.fsc import (
    fourier_shell_correlation,
    resolution_at,
    shell_resolutions_angstrom,
    shell_sums,
    shells_of_spectrum,
)


def noise(box, seed):
    return torch.randn(box, box, box, generator=torch.Generator().manual_seed(seed))


def test_of_a_map_with_itself_is_one():
    curve = fourier_shell_correlation(noise(16, 0), noise(16, 0))
    assert curve.shape == (7,)
    torch.testing.assert_close(curve, torch.ones(7, dtype=torch.float64), atol=1e-6, rtol=0)


def test_ignores_scale_and_mean_and_sees_the_sign():
    first, second = noise(16, 1), noise(16, 2)
    curve = fourier_shell_correlation(first, second)
    torch.testing.assert_close(
        fourier_shell_correlation(3 * first + 5, second), curve, atol=1e-5, rtol=0
    )
    torch.testing.assert_close(fourier_shell_correlation(first, -second), -curve)


def test_agrees_with_sums_over_the_full_spectrum():
    first, second = noise(12, 3).double(), noise(12, 4).double()
    a, b = torch.fft.fftn(first), torch.fft.fftn(second)
    axis = torch.fft.fftfreq(12, 1 / 12)
    radius = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0).round()
    expected = [
        ((a * b.conj()).real[radius == s].sum())
        / (a.abs()[radius == s].norm() * b.abs()[radius == s].norm())
        for s in range(1, 6)
    ]
    torch.testing.assert_close(fourier_shell_correlation(first, second), torch.stack(expected))


def test_of_signal_plus_independent_noise():
    # equal powers of signal and noise: FSC = S / (S + N) = 1/2
    signal = noise(32, 5)
    curve = fourier_shell_correlation(signal + noise(32, 6), signal + noise(32, 7))
    # shells of more than 400 coefficients are known to a few per cent
    assert (curve[6:] - 0.5).abs().max() < 0.1


def test_independent_noise_does_not_correlate():
    curve = fourier_shell_correlation(noise(32, 8), noise(32, 9))
    assert curve[4:].abs().max() < 0.15


def test_every_coefficient_is_counted_once():
    box = 16
    counts = shell_sums(torch.ones(box, box, box // 2 + 1))
    full = torch.fft.fftfreq(box, 1 / box)
    radius = torch.stack(torch.meshgrid(full, full, full, indexing="ij")).norm(dim=0).round()
    expected = torch.stack([(radius == s).sum() for s in range(1, box // 2)])
    torch.testing.assert_close(counts, expected.double())
    assert shells_of_spectrum(box).shape == (box, box, box // 2 + 1)


def test_empty_shells_are_zero_not_nan():
    assert (fourier_shell_correlation(torch.zeros(8, 8, 8), noise(8, 0)) == 0).all()


def test_maps_of_unequal_size_are_refused():
    # a TypeError where shapes are checked at run time
    with pytest.raises((ValueError, TypeError)):
        fourier_shell_correlation(noise(8, 0), noise(10, 0))


def test_crossing_is_interpolated_between_shells():
    curve = torch.tensor([1.0, 0.8, 0.4, 0.1, 0.6, 0.0, 0.0])  # box 16
    # between shell 2 (0.8) and shell 3 (0.4): 0.5 at shell 2.75
    assert math.isclose(resolution_at(curve, 0.5, 16, 2.0), 32 / 2.75, rel_tol=1e-6)
    # the first crossing counts, not the rise at shell 5
    assert math.isclose(resolution_at(curve, 0.143, 16, 2.0), 32 / (3 + 0.257 / 0.3), rel_tol=1e-6)


def test_curves_that_never_cross_or_start_below():
    assert resolution_at(torch.ones(7), 0.143, 16, 1.5) == 16 * 1.5 / 7
    assert resolution_at(torch.zeros(7), 0.143, 16, 1.5) is None
    assert shell_resolutions_angstrom(16, 1.5)[-1] == 16 * 1.5 / 7
