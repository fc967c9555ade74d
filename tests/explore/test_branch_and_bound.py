"""The stochastic-gradient explorer at toy size: what it hands on, and that it repeats itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cryospin.explore.bounded_search import BoundedSearch
from cryospin.explore.branch_and_bound import BranchAndBound, _Run, _State
from cryospin.explore.exploration import Exploration
from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.journal.journal import UNRECORDED
from phantoms import Blobs, PlantedParticles, angles_degrees

BOX = 32
DISK = FourierDisk.of(BOX, 10.0)
BLOBS = Blobs.random(4, count=20, spread=4.0, sigma=1.2)
IDENTITY = torch.eye(3)[None]
SEARCH = BoundedSearch(nside=2, in_plane=12, first_radius=4.0, most_candidates=6, detail=1.0)
TINY = BranchAndBound(
    starts=2,
    race_iterations=3,
    iterations=3,
    batch=20,
    first_radius=4.0,
    race_radius=5.0,
    marched_radius=6.0,
    passes=1,
    last_radius=8.0,
    march_search=SEARCH,
    search=SEARCH,
)
SETTING = Setting(IDENTITY, 0.0, support_radius=0.35)


@pytest.fixture(scope="module")
def planted() -> PlantedParticles:
    return PlantedParticles.of(BLOBS, DISK, 120, seed=8, signal=20.0, largest_shift=0.0)


def explore(planted: PlantedParticles, seed: int) -> Exploration:
    return TINY.run(planted.particles, replace(SETTING, seed=seed))


def test_what_it_hands_on(planted: PlantedParticles) -> None:
    told: list[tuple[str, int, int]] = []
    found = TINY.run(planted.particles, SETTING, lambda *step: told.append(step))
    assert len(found.scores) == 2 and found.uncertainty > 0 and found.radius == 8.0
    assert found.hypotheses is not None
    assert found.hypotheses.rotations.shape == (120, 1, 3, 3)
    assert found.hypotheses.shifts_pixel.abs().max() == 0
    assert torch.isfinite(torch.view_as_real(found.sums.numerator)).all()
    assert [done for _, done, _ in told] == list(range(1, told[-1][2] + 1))


def test_the_same_seed_gives_the_same_map(planted: PlantedParticles) -> None:
    first, again, other = (explore(planted, seed) for seed in (1, 1, 2))
    assert torch.equal(first.sums.numerator, again.sums.numerator)
    assert not torch.equal(first.sums.numerator, other.sums.numerator)


def test_from_the_true_map_poses_are_true(planted: PlantedParticles) -> None:
    """Steps of the gradient stay at the solution, and the closed form sharpens it."""
    run = _Run(TINY, planted.particles, SETTING)
    density = (BLOBS.density(len(run.support), BOX).float()) * run.support
    state = _State(density, torch.zeros_like(density), run.random_start(0).curvature)
    for iteration in range(6):
        state = run.iterate(state, 0, iteration)
    _, best = run.settled(state.density, lambda done: None, UNRECORDED)
    apart = angles_degrees(best.rotations, planted.rotations)
    finest = SEARCH.levels(SETTING, FourierDisk.of(BOX, 8.0))[-1].side_radians
    assert apart.median() < 1.5 * np.degrees(finest)


def test_radii_march_and_stay_inside_the_disk(planted: PlantedParticles) -> None:
    run = _Run(TINY, planted.particles, SETTING)
    radii = [run.radius_at(i) for i in range(6)]
    assert radii == sorted(radii) and radii[0] == 4.0 and radii[-1] <= 6.0
