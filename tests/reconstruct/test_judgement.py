"""The verdict: independent agreement beyond what two blobs share, and nothing else."""

from __future__ import annotations

import pytest
import torch

from cryospin.reconstruct.judgement import directions_of_half_the_views, judge
from cryospin.simulate.poses import draw_poses
from cryospin.types import Poses
from cryospin.volumes.resolution import HalfMapResolution
from phantoms import random_turns

BOX, PIXEL = 64, 2.0


def resolution(angstrom: float | None) -> HalfMapResolution:
    flat = torch.full((BOX // 2 - 1,), 0.5, dtype=torch.float64)
    return HalfMapResolution(flat, flat, flat, flat, 5, angstrom, angstrom, BOX, PIXEL)


def poses(count: int = 2000) -> Poses:
    return Poses(random_turns(count, 1), torch.zeros(count, 2), torch.ones(count))


def verdict(angstrom: float | None, told: dict, views: Poses | None = None, symmetry: str = "C1"):
    return judge(resolution(angstrom), views or poses(), told, BOX, PIXEL, symmetry)


AGREED = {"agreed": True, "agreement_radius": 12.0}


def test_agreement_that_lasts_is_convergence() -> None:
    found = verdict(6.0, AGREED)
    assert found.converged and found.word == "converged"
    assert len(found.reasons) == 1 and not found.warnings


@pytest.mark.parametrize(
    "angstrom, told",
    [
        (6.0, {"agreed": False, "agreement_radius": 4.0}),
        (6.0, {"agreed": False, "agreement_radius": 0.0}),
        (None, AGREED),
        # shell 9 of the box
        (BOX * PIXEL / 9, AGREED),
    ],
)
def test_anything_less_is_not(angstrom: float | None, told: dict) -> None:
    found = verdict(angstrom, told)
    assert not found.converged and found.word == "not converged"
    assert found.reasons and "Angstrom" in found.reasons[0]


def test_a_start_from_a_map_is_said() -> None:
    found = verdict(6.0, {"agreed": True, "initial_map": True})
    assert found.converged and "started from the map given" in found.reasons[0]


@pytest.mark.parametrize("count", [100, 300, 600, 5000])
def test_even_views_raise_no_warning(count: int) -> None:
    for seed in range(5):
        even = Poses(random_turns(count, seed), torch.zeros(count, 2), torch.ones(count))
        assert not verdict(6.0, AGREED, even).warnings


@pytest.mark.parametrize("count", [600, 2000])  # fewer views cannot tell
def test_preferred_views_are_warned_of(count: int) -> None:
    banded = draw_poses(count, max_shift_pixel=0, pixel_size_angstrom=1, views="equator", seed=1)
    found = verdict(6.0, AGREED, banded)
    assert found.converged and "preferred orientation" in found.warnings[0]
    # a symmetric particle's views are known only modulo its group: one copy is no preference
    assert not verdict(6.0, AGREED, banded, symmetry="D7").warnings


def test_share_of_directions_that_hold_half_the_views() -> None:
    assert directions_of_half_the_views(poses(20_000)) == pytest.approx(0.48, abs=0.02)
    one_view = Poses(torch.eye(3).expand(50, 3, 3), torch.zeros(50, 2), torch.ones(50))
    assert directions_of_half_the_views(one_view) == pytest.approx(1 / 12)
