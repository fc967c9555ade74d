"""Whitened spectra of map pairs against direct Fourier sums."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cryospin.volumes.spectrum_pair import (
    Placement,
    log_likelihood_ratio,
    shell_correlations,
    spectrum_pair,
)
from cryospin.volumes.turned_spectrum import turned_coefficients

BOX = 32


def direct_sum(phantom, frequencies):
    """Fourier transform of the Gaussians, analytically, at frequencies in Fourier pixels."""
    k = frequencies.double().numpy()
    width = (2 * np.pi * phantom.sigma**2) ** 1.5
    envelope = np.exp(-2 * (np.pi * phantom.sigma / phantom.box) ** 2 * (k**2).sum(1))
    phases = np.exp(-2j * np.pi * k @ phantom.positions.T / phantom.box)
    return torch.as_tensor(width * envelope * (phases @ phantom.weights))


@pytest.mark.parametrize("flipped", [False, True])
def test_turned_coefficients_are_those_of_the_moved_map(phantom_of, flipped):
    phantom = phantom_of(3, BOX, sigma=1.5, reach=0.15)
    rotation = Rotation.from_euler("ZYZ", [20, 50, -70], degrees=True).as_matrix()
    pair = spectrum_pair(phantom.values(), phantom.values(), 10)
    placement = Placement(torch.as_tensor(rotation), torch.zeros(3).double(), flipped)
    ours = turned_coefficients(pair.volume, placement.matrix[None], pair.frequencies, 2)[0]
    moved = phantom.moved(rotation, np.zeros(3), flipped)
    theirs = direct_sum(moved, pair.frequencies)
    scale = (theirs.abs().norm() / ours.abs().norm()).item()
    # trilinear interpolation on a grid twice as fine is good to a per cent
    assert (ours * scale - theirs).abs().norm() < 0.02 * theirs.abs().norm()


def test_reference_coefficients_have_unit_power_and_their_origin_at_the_centre(phantom_of):
    phantom = phantom_of(3, BOX, sigma=1.5, reach=0.15)
    pair = spectrum_pair(phantom.values(), phantom.values(), 8)
    direct = direct_sum(phantom, pair.frequencies)
    curve = shell_correlations(pair.reference, direct.cfloat(), pair.shells)
    torch.testing.assert_close(curve[1:], torch.ones(8).double(), atol=1e-3, rtol=0)
    power = torch.bincount(pair.shells, weights=pair.reference.abs().square().double())
    population = torch.bincount(pair.shells).double()
    torch.testing.assert_close(power[1:], population[1:], rtol=1e-5, atol=0)


def test_prefix_is_a_low_pass(phantom_of):
    values = phantom_of(4, BOX).values()
    large, small = spectrum_pair(values, values, 9).within(5), spectrum_pair(values, values, 5)
    assert large.shells.max() == 5
    assert torch.equal(large.frequencies, small.frequencies)
    torch.testing.assert_close(large.reference, small.reference)


def test_log_likelihood_ratio_prefers_agreement_and_many_coefficients():
    shells = torch.tensor([1, 1, 2, 2, 2, 2])
    weak, strong = torch.tensor([0.0, 0.3, 0.3]), torch.tensor([0.0, 0.3, 0.6])
    other = torch.tensor([0.0, 0.6, 0.3])
    assert log_likelihood_ratio(strong, shells) > log_likelihood_ratio(other, shells)
    assert log_likelihood_ratio(other, shells) > log_likelihood_ratio(weak, shells)
    assert log_likelihood_ratio(-strong, shells) == 0
