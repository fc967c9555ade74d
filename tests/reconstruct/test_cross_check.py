"""Poses found again in the other half's map: all of right ones, few of wrong ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.particles.spectrum import prior_precision
from cryospin.reconstruct.cross_check import (
    CrossCheck,
    cross_check,
    gain_elsewhere,
    unexplained_share,
)
from cryospin.reconstruct.refinement import half_set_fsc, prior_of
from cryospin.refine.halves import HalfSet, sums_of
from cryospin.volumes.gridded import map_of, map_to_volume, support_sphere
from phantoms import Blobs, PlantedParticles, misplaced

BOX, RADIUS = 32, 10.0
DISK = FourierDisk.of(BOX)
IDENTITY = torch.eye(3)[None]


def half(seed: int, wrong: float = 0.0) -> HalfSet:
    """300 particles, the first ones at random poses."""
    planted = PlantedParticles.of(
        Blobs.random(1, spread=3.5, sigma=1.0), DISK, 300, seed, signal=60.0
    )
    return misplaced(planted.half_set(), wrong, 100 + seed)


def checked(halves: tuple[HalfSet, HalfSet], seed: int = 1) -> CrossCheck:
    sums = (sums_of(halves[0], RADIUS, IDENTITY), sums_of(halves[1], RADIUS, IDENTITY))
    support = support_sphere(BOX, RADIUS, 0.42)
    curve = half_set_fsc(sums, RADIUS, BOX, support)
    maps = [map_of(s, prior_of(s, curve), RADIUS, BOX, support) for s in sums]
    setting = Setting(IDENTITY, 1.0, seed=seed)
    return cross_check(halves, (maps[0], maps[1]), setting, 8.0, most=100)


def test_right_poses_are_found_again() -> None:
    found = checked((half(1), half(2)))
    assert found.particles == 200
    assert found.found_again > 0.97 and found.believed > 0.9
    assert found.carried_over == pytest.approx(1.0, abs=0.1)


def test_wrong_poses_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cryospin.reconstruct.cross_check._WEIGHED", 100)
    found = checked((half(1, 0.4), half(2, 0.4)))
    assert 0.4 < found.believed < 0.65
    assert found.found_again == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize("wrong", [0.0, 0.15, 0.4])
@pytest.mark.parametrize("seed", [1, 5])
def test_the_other_halfs_map_is_better_only_where_ones_own_has_misplaced_images(
    wrong: float, seed: int
) -> None:
    halves = half(seed, wrong), half(seed + 1)
    support = support_sphere(BOX, RADIUS, 0.42)
    volumes = []
    for one in halves:
        precision = prior_precision(one.particles)
        density = map_of(sums_of(one, RADIUS, IDENTITY), precision, RADIUS, BOX, support)
        volumes.append(map_to_volume(density, BOX, RADIUS))
    rng = np.random.default_rng(0)
    first = gain_elsewhere(halves[0], volumes[0], volumes[1], RADIUS, rng)
    second = gain_elsewhere(halves[1], volumes[1], volumes[0], RADIUS, rng)
    assert (first > 0) == (wrong > 0)
    assert second < 0


@pytest.mark.parametrize("energy", [8.0, 30.0, 200.0])
def test_images_that_are_not_explained(energy: float) -> None:
    """Gains of E +- (2 E)^(1/2), E itself spread by CTF and view; and of images of noise."""
    generator = torch.Generator().manual_seed(1)
    signal = energy * (0.6 + 0.8 * torch.rand(2000, generator=generator))
    gains = signal + (2 * signal).sqrt() * torch.randn(2000, generator=generator)
    assert unexplained_share(gains) < 0.02
    junk = 2.0 * torch.randn(2000, generator=generator)
    if energy == 200.0:
        assert unexplained_share(torch.cat([gains, junk])) == pytest.approx(0.5, abs=0.02)


def test_the_sample_is_the_seed_s() -> None:
    halves = half(1, 0.4), half(2, 0.4)
    assert checked(halves, 1) == checked(halves, 1) != checked(halves, 2)
