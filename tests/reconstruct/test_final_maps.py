"""The last maps of two half-sets at their true poses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.reconstruct.final_maps import FinalMaps, final_maps
from cryospin.refine.halves import sums_of
from phantoms import Blobs, PlantedParticles, in_memory

BOX = 32
BLOBS = Blobs.random(1, spread=3.5, sigma=1.0)


def made(sign: float, either_contrast: bool) -> FinalMaps:
    """sign: of the images."""
    halves = []
    for seed in (1, 2):
        half = PlantedParticles.of(BLOBS, FourierDisk.of(BOX), 200, seed, signal=60.0).half_set()
        own = in_memory(half.particles)
        images = replace(own, coefficients=sign * own.coefficients)
        halves.append(replace(half, particles=images))
    first, second = (sums_of(half, 15.0, torch.eye(3)[None]) for half in halves)
    setting = Setting(torch.eye(3)[None], 0.0)
    return final_maps((first, second), halves[0].particles, setting, either_contrast)


def test_maps_are_of_the_particle() -> None:
    found = made(1.0, either_contrast=False)
    truth = BLOBS.density(BOX).float()
    for density in (found.density, found.half1, found.half2):
        assert density.box == BOX and density.pixel_size_angstrom == 3.0
        assert fourier_shell_correlation(density.values, truth)[:7].min() > 0.9
    assert not found.turned and found.resolution.resolution_05_angstrom < 3.0 * BOX / 7


@pytest.mark.parametrize("either", [True, False])
def test_a_dark_particle_is_turned_where_either_contrast_will_do(either: bool) -> None:
    found, bright = made(-1.0, either_contrast=either), made(1.0, either_contrast=either)
    assert found.turned is either and not bright.turned
    sign = 1.0 if either else -1.0
    torch.testing.assert_close(found.half1.values, sign * bright.half1.values)
    torch.testing.assert_close(found.half2.values, sign * bright.half2.values)
