"""A half-set alone: its own map gives its poses back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from cryospin.explore.exploration import Exploration
from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.journal.journal import UNRECORDED
from cryospin.particles.source import ParticleSource
from cryospin.reconstruct.half_search import HalfSearch
from cryospin.reconstruct.monitor import Monitor
from cryospin.refine.assign import GlobalAssignment, PolishedHypotheses
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.refine.halves import sums_of
from cryospin.rotations.grid import OrientationGrid
from phantoms import Blobs, PlantedParticles, angles_degrees

RADIUS = 9.0
SETTING = Setting(torch.eye(3)[None], 1.0, seed=4, shared_seed=4)
PLANTED = PlantedParticles.of(
    Blobs.random(1, spread=3.5, sigma=1.0), FourierDisk.of(32), 200, 1, signal=200.0
)
HALF = PLANTED.half_set()
POLISH = GaussNewton(steps=5)


@dataclass(frozen=True)
class Known:
    """An explorer that has the map; hypotheses: whether it hands on the poses, too."""

    hypotheses: bool
    last_radius: float = RADIUS
    one_thread: bool = False

    def run(self, particles: ParticleSource, setting: Setting, *rest: Any) -> Exploration:
        assert setting.seed == SETTING.of_start(2, 1).seed
        sums = sums_of(HALF, RADIUS, setting.operators)
        poses = HALF.poses.alone() if self.hypotheses else None
        return Exploration(sums, RADIUS, (7.0,), 1.0, poses)


def search(hypotheses: bool = False) -> HalfSearch:
    assignment = GlobalAssignment(OrientationGrid.of(3, 18), hypotheses=2, polish=POLISH)
    choice = PolishedHypotheses(polish=POLISH)
    known = Known(hypotheses)
    return HalfSearch(known, assignment, choice, SETTING, Monitor(), UNRECORDED)


@pytest.mark.parametrize("hypotheses", [True, False])
def test_an_exploration_leads_to_poses(hypotheses: bool) -> None:
    """Of all there are, or of those the explorer leaves."""
    found = search(hypotheses).run(PLANTED.particles, 2, 1)
    assert found.score == 7.0
    assert [(start.attempt, start.score) for start in found.starts] == [(2, 7.0)]
    error = angles_degrees(found.poses.rotations, PLANTED.rotations)
    assert error.median() < 2.0
    assert (found.poses.confidence > 0.99).all() if hypotheses else True


def test_the_map_of_poses_gives_them_back() -> None:
    off = PLANTED.half_set(off_degrees=3.0)
    volume = search().volume_of(off)
    found = search().poses_in(volume, RADIUS, off.particles, 1)
    assert angles_degrees(found.rotations, PLANTED.rotations).median() < 3.0


def test_a_map_reaches_no_farther_than_the_images() -> None:
    assert search().last_radius(PLANTED.particles) == RADIUS
    near = PLANTED.particles.within(6.0)
    assert search().last_radius(near) == near.disk.radius == 6.0
    farther = replace(search(), search=Known(False, last_radius=4.0))
    assert farther.last_radius(near) == 4.0
