"""Half-map resolution: as good as the truth says it is, and none for noise."""

import pytest
import torch

from cryospin.errors import BadDataError
from cryospin.fourier.fsc import fourier_shell_correlation, resolution_at
from cryospin.simulate.molecule import chain_molecule
from cryospin.types import DensityMap
from cryospin.volumes.alignment import align_maps, apply_alignment
from cryospin.volumes.masks import low_passed, soft_mask, spherical_mask
from cryospin.volumes.resolution import (
    correct_for_mask,
    first_shell_below,
    half_map_resolution,
    randomise_phases,
)

BOX, PIXEL = 64, 3.0


def density(values):
    return DensityMap(values, PIXEL)


def half_maps(noise_for, seed, shell):
    molecule = chain_molecule(seed, domains=5, residues_per_domain=200)
    truth = torch.as_tensor(molecule.voxelize(BOX, PIXEL))
    halves = [truth + noise_for(truth, shell, 2 * seed + half) for half in range(2)]
    return truth, *halves


@pytest.mark.parametrize("shell", [10, 14, 20])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_0143_is_where_the_map_and_the_truth_agree_by_a_half(noise_for, seed, shell):
    """Rosenthal & Henderson 2003: FSC between halves 0.143 <-> FSC to the truth 0.5."""
    truth, half1, half2 = half_maps(noise_for, seed, shell)
    average = 0.5 * (half1 + half2)
    mask = soft_mask(density(average))
    found = half_map_resolution(density(half1), density(half2), mask)
    to_truth = fourier_shell_correlation(average * mask.values, truth * mask.values)
    true = resolution_at(to_truth, 0.5, BOX, PIXEL)
    assert abs(found.resolution_0143_angstrom / true - 1) < 0.1
    assert found.resolution_05_angstrom > found.resolution_0143_angstrom


def test_a_ragged_mask_does_not_make_resolution(noise_for):
    """It smears what the maps share at low frequency over all shells; Chen takes it out."""
    truth, half1, half2 = half_maps(noise_for, 3, 14)
    shared = low_passed(density(truth), 32.0).values  # nothing beyond shell 7
    halves = [density(shared + half - truth) for half in (half1, half2)]
    generator = torch.Generator().manual_seed(0)
    inside = spherical_mask(BOX, PIXEL, 40.0, 3.0).values > 0.5
    ragged = (inside & (torch.rand(truth.shape, generator=generator) < 0.2)).float()
    found = half_map_resolution(*halves, density(ragged))
    assert found.masked.min() > 0.143
    assert found.corrected[12:].max() < 0.143
    assert found.resolution_0143_angstrom > 192 / 9
    assert resolution_at(found.masked, 0.143, BOX, PIXEL) < 192 / 30


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_noise_has_no_resolution(seed, align):
    generator = torch.Generator().manual_seed(seed)
    first, second = (density(torch.randn(48, 48, 48, generator=generator)) for _ in range(2))
    if align:
        first = apply_alignment(first, align_maps(first, second))
    average = density(0.5 * (first.values + second.values))
    for mask in (soft_mask(average), spherical_mask(48, PIXEL, 36.0, 12.0)):
        found = half_map_resolution(first, second, mask)
        assert found.resolution_0143_angstrom is None and found.resolution_05_angstrom is None


def test_equal_maps_resolve_to_nyquist(noise_for):
    truth, half1, _ = half_maps(noise_for, 4, 20)
    found = half_map_resolution(density(half1), density(half1), soft_mask(density(truth)))
    assert found.randomised_from == BOX // 2
    assert found.resolution_0143_angstrom == pytest.approx(BOX * PIXEL / (BOX // 2 - 1))


def test_phases_are_random_beyond_and_kept_below(noise_for):
    _, half1, _ = half_maps(noise_for, 5, 12)
    spectrum = torch.fft.rfftn(half1)
    scrambled = randomise_phases(spectrum, 9, torch.Generator().manual_seed(1))
    curve = fourier_shell_correlation(scrambled, half1)
    torch.testing.assert_close(curve[:8], torch.ones(8).double(), atol=1e-5, rtol=0)
    assert curve[8:].abs().max() < 0.25
    amplitudes = torch.fft.rfftn(scrambled).abs()
    torch.testing.assert_close(amplitudes, spectrum.abs(), rtol=1e-3, atol=1e-2)


def test_the_correction_is_chens_formula_beyond_the_border():
    masked = torch.tensor([1.0, 0.9, 0.8, 0.6, 0.5, 0.3])
    randomised = torch.tensor([1.0, 0.9, 0.5, 0.4, 0.3, 0.3])
    corrected = correct_for_mask(masked, randomised, from_shell=2)
    expected = torch.tensor([1.0, 0.9, 0.8, 0.2 / 0.6, 0.2 / 0.7, 0.0])
    torch.testing.assert_close(corrected, expected)


def test_first_shell_below():
    assert first_shell_below(torch.tensor([0.9, 0.7, 0.9]), 0.8) == 2
    assert first_shell_below(torch.tensor([0.9, 0.9, 0.9]), 0.8) == 4


def test_the_seed_decides_the_phases(noise_for):
    _, half1, half2 = half_maps(noise_for, 6, 12)
    mask = spherical_mask(BOX, PIXEL, 60.0, 12.0)
    one, again, other = (
        half_map_resolution(density(half1), density(half2), mask, seed) for seed in (1, 1, 2)
    )
    assert torch.equal(one.corrected, again.corrected)
    assert not torch.equal(one.corrected, other.corrected)


def test_maps_that_cannot_be_compared_are_refused():
    small, large = density(torch.zeros(16, 16, 16)), density(torch.zeros(20, 20, 20))
    with pytest.raises(BadDataError, match="16 and 20 voxels"):
        half_map_resolution(small, small, large)
