"""What a run is judged by: each measure says what is so of halves made to be so."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.reconstruct.exploration_report import ExplorationReport, StartReport
from cryospin.reconstruct.final_maps import FinalMaps
from cryospin.reconstruct.judgement import Measures
from cryospin.reconstruct.measuring import measure, self_mirror_correlation
from cryospin.reconstruct.refinement import half_set_fsc, prior_of, unfiltered_map
from cryospin.reconstruct.request import Request
from cryospin.refine.halves import HalfSet, sums_of
from cryospin.types import DensityMap
from cryospin.volumes.gridded import map_of, spherical_support
from cryospin.volumes.resolution import half_map_resolution
from phantoms import Blobs, PlantedParticles, misplaced

BOX, PIXEL = 32, 4.0
MASK = DensityMap(spherical_support(BOX, 13.0, 2.0), PIXEL)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_handed_map_is_not_its_mirror_image(seed: int) -> None:
    values = Blobs.random(seed, count=20, spread=4.0, sigma=1.0).density(BOX).float()
    handed = self_mirror_correlation(DensityMap(values, PIXEL), MASK, 12.0)
    # beside its mirror image it has no hand
    both = values + values.flip(0).roll(1, 0)
    assert handed < 0.75
    assert self_mirror_correlation(DensityMap(both, PIXEL), MASK, 12.0) > 0.95


def test_a_ball_is() -> None:
    ball = DensityMap(spherical_support(BOX, 8.0, 3.0), PIXEL)
    noise = 0.02 * torch.randn(BOX, BOX, BOX, generator=torch.Generator().manual_seed(1))
    assert self_mirror_correlation(DensityMap(ball.values + noise, PIXEL), MASK, 8.0) > 0.9


DISK = FourierDisk.of(BOX)
BLOBS = Blobs.random(1, spread=3.5, sigma=1.0)
IDENTITY = torch.eye(3)[None]


def half(seed: int, wrong: float = 0.0, blobs: Blobs = BLOBS) -> HalfSet:
    planted = PlantedParticles.of(blobs, DISK, 300, seed, signal=60.0)
    return misplaced(planted.half_set(), wrong, 100 + seed)


AGREED = ExplorationReport(agreed=True, agreement_radius=9.0)
NEVER_AGREED = ExplorationReport(agreed=False, agreement_radius=9.0)


def measured(halves: tuple[HalfSet, HalfSet], exploration: ExplorationReport = AGREED) -> Measures:
    """As a run measures its end, for 300 particles of either half."""
    sums = sums_of(halves[0], DISK.radius, IDENTITY), sums_of(halves[1], DISK.radius, IDENTITY)
    support = spherical_support(BOX, 0.42 * BOX, 2.0)
    curve = half_set_fsc(sums, DISK.radius, BOX, support)
    filtered = [map_of(s, prior_of(s, curve), DISK.radius, BOX, support) for s in sums]
    one, two = (DensityMap(unfiltered_map(s, DISK.radius, BOX, BOX), PIXEL) for s in sums)
    maps = FinalMaps(
        DensityMap(filtered[0] + filtered[1], PIXEL),
        one,
        two,
        MASK,
        (filtered[0], filtered[1]),
        half_map_resolution(one, two, MASK),
        turned=False,
    )
    return measure(
        halves,
        maps,
        exploration,
        Setting(IDENTITY, 1.0, seed=3, shared_seed=3),
        Request(doubts=("the CTF is doubted",)),
    )


def test_a_run_at_right_poses() -> None:
    found = measured((half(1), half(2)))
    assert found.particles == 600 and found.field_angstrom == BOX * PIXEL
    assert found.agreed and not found.from_a_map and found.agreement_shells == 9.0
    assert found.half_map_shells > 9 and found.half_views > 0.35
    assert found.cones > 0.5 and found.own_mirror < 0.85
    assert found.cross is not None and found.cross.particles == 600
    assert found.cross.found_again > 0.97 and found.cross.believed > 0.9
    assert found.doubts == ("the CTF is doubted",)


@pytest.mark.parametrize("wrong", [0.2, 0.4])
def test_poses_that_are_wrong_are_not_found_again(wrong: float) -> None:
    found = measured((half(1, wrong), half(2, wrong)))
    assert found.cross.found_again == pytest.approx(1 - wrong, abs=0.06)
    assert 0.7 * (1 - wrong) < found.cross.believed < 1 - wrong + 0.05


def test_halves_of_two_particles_share_no_shells_to_search_within() -> None:
    other = Blobs.random(2, spread=3.5, sigma=1.0)
    found = measured((half(1), half(2, blobs=other)))
    assert found.half_map_shells is None or found.half_map_shells < 6


def test_a_run_whose_halves_never_agreed_is_not_looked_at_further() -> None:
    found = measured((half(1), half(2)), NEVER_AGREED)
    assert not found.agreed and found.half_map_shells > 9
    looked_at = (found.cross, found.cones, found.own_mirror, found.sampling_compensation)
    assert looked_at == (None,) * 4


def test_what_exploration_reports_is_measured() -> None:
    rival = StartReport(1, 1, 1.0, rival=True)
    report = replace(NEVER_AGREED, half1=(rival,), still_rising=1, from_a_map=True)
    found = measured((half(1), half(2)), report)
    assert (found.rivals, found.still_rising, found.from_a_map) == (1, 1, True)
