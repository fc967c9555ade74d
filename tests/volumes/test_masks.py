"""Masks are generous, soft, deterministic, and follow what stands out."""

import pytest
import torch

from cryospin.simulate.molecule import chain_molecule
from cryospin.types import DensityMap
from cryospin.volumes.masks import low_passed, soft_mask, spherical_mask

PIXEL = 4.0


def molecule_map(seed, box=48):
    molecule = chain_molecule(seed, domains=5, residues_per_domain=120)
    return torch.as_tensor(molecule.voxelize(box, PIXEL))


@pytest.mark.parametrize("shell", [None, 10, 6])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_never_cuts_the_particle(noise_for, seed, shell):
    """Without noise, at half the resolution of the box, and where noise drowns the map."""
    values = molecule_map(seed)
    noisy = values if shell is None else values + noise_for(values, shell, seed) / 2**0.5
    mask = soft_mask(DensityMap(noisy, PIXEL)).values
    assert (values * mask).sum() / values.sum() > 0.998
    assert mask[values > 0.05 * values.max()].mean() > 0.98
    # and yet it is a mask, not the box
    assert (mask > 0.5).double().mean() < 0.2


def test_keeps_a_domain_at_half_density(noise_for):
    values = torch.zeros(48, 48, 48)
    values[18:28, 18:28, 14:24] = 1.0
    domain = (slice(18, 28), slice(18, 28), slice(24, 34))
    values[domain] = 0.5
    mask = soft_mask(DensityMap(values + noise_for(values, 14, 0), PIXEL)).values
    assert mask[domain].min() > 0.99


def test_is_soft_within_the_sphere_and_deterministic():
    density = DensityMap(molecule_map(3), PIXEL)
    mask = soft_mask(density)
    assert mask.box == 48 and mask.pixel_size_angstrom == PIXEL
    assert mask.values.min() == 0 and mask.values.max() == 1
    steps = [(mask.values.diff(dim=axis)).abs().max() for axis in range(3)]
    # a raised cosine over 4 voxels rises by at most pi / 8 a voxel
    assert max(steps) < 0.45
    corner = mask.values[:4, :4, :4]
    assert corner.max() == 0
    assert torch.equal(soft_mask(density).values, mask.values)


def test_specks_are_dropped_and_holes_filled():
    values = torch.zeros(48, 48, 48)
    values[14:34, 14:34, 14:34] = 1.0
    values[22:26, 22:26, 22:26] = 0.0
    values[24, 24, 2:4] = 1.0
    density = DensityMap(values, PIXEL)
    mask = soft_mask(density, lowpass_angstrom=9.0, dilation_angstrom=4.0, edge_angstrom=12.0)
    assert mask.values[24, 24, 24] == 1.0
    assert mask.values[24, 24, 3] == 0.0


@pytest.mark.parametrize("seed", [0, 1])
def test_noise_and_flat_maps_get_the_sphere(seed):
    noise = torch.randn(32, 32, 32, generator=torch.Generator().manual_seed(seed))
    for values in (noise, torch.zeros(32, 32, 32)):
        mask = soft_mask(DensityMap(values, PIXEL)).values
        assert mask[16, 16, 16] > 0.9 and mask.mean() > 0.15


def test_spherical_mask():
    mask = spherical_mask(32, 2.0, 20.0, 6.0).values
    assert mask[16, 16, 16 + 10] == 1.0
    assert 0.0 < mask[16, 16 + 12, 16] < 1.0
    assert mask[16 - 13, 16, 16] == 0.0


def test_low_pass_halves_the_amplitude_at_its_resolution():
    axis = torch.arange(48.0)
    wave = torch.cos(2 * torch.pi * 6 * axis / 48).expand(48, 48, 48).contiguous()
    at = low_passed(DensityMap(wave, PIXEL), 48 * PIXEL / 6).values
    torch.testing.assert_close(at, 0.5 * wave, atol=1e-4, rtol=0)
    passed = low_passed(DensityMap(wave, PIXEL), 48 * PIXEL / 8).values
    torch.testing.assert_close(passed, wave, atol=1e-4, rtol=0)
    assert low_passed(DensityMap(wave, PIXEL), 48 * PIXEL / 4).values.abs().max() < 1e-4
