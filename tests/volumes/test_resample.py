"""Resampling against phantoms sampled anew on the other grid."""

import pytest
import torch

from cryospin.fourier.resize import resized
from cryospin.types import DensityMap
from cryospin.volumes.resample import resample, resized_map


@pytest.mark.parametrize(
    "box, pixel",
    [(48, 2.0), (32, 3.0), (40, 2.6), (64, 1.5), (56, 2.0), (40, 2.0)],
    ids=["same", "coarser", "any ratio", "finer", "padded", "cropped"],
)
def test_agrees_with_sampling_anew(phantom_of, box, pixel):
    phantom = phantom_of(1, 48, sigma=2.0, reach=0.15)  # at 2 Angstrom a voxel
    result = resample(DensityMap(phantom.values(), 2.0), box, pixel)
    scale = 2.0 / pixel
    expected = type(phantom)(
        phantom.positions * scale, phantom.weights, phantom.sigma * scale, box
    ).values()
    assert (result.box, result.pixel_size_angstrom) == (box, pixel)
    assert (result.values - expected).norm() < 5e-3 * expected.norm()


def test_the_same_grid_is_left_alone(phantom_of):
    density = DensityMap(phantom_of(2, 32).values(), 2.0)
    assert resample(density, 32, 2.0001) is density


def test_what_a_coarser_grid_cannot_hold_is_removed():
    fine = DensityMap(torch.randn(48, 48, 48, generator=torch.Generator().manual_seed(0)), 1.0)
    coarse = resample(fine, 24, 2.0).values
    # white noise keeps the share of its variance below the new Nyquist: about 1/8
    assert coarse[4:20, 4:20, 4:20].var().item() == pytest.approx(1 / 8, rel=0.3)


@pytest.mark.parametrize(("old", "new"), [(24, 32), (32, 24), (20, 20)])
def test_resized_map_is_resized(old: int, new: int) -> None:
    values = torch.randn(old, old, old, generator=torch.manual_seed(0))
    expected = torch.from_numpy(resized(values.numpy(), new))
    torch.testing.assert_close(resized_map(values, new), expected, rtol=0, atol=2e-6)
