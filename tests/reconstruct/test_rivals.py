"""Starts that tell the same story, another one, and one that explains less."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cryospin.explore.exploration import Exploration
from cryospin.fourier.disk import FourierDisk
from cryospin.reconstruct.exploration_report import StartReport
from cryospin.reconstruct.rivals import report_starts
from cryospin.refine.halves import HalfSet, sums_of
from phantoms import Blobs, PlantedParticles, random_turns

RADIUS = 9.0
DISK = FourierDisk.of(32)
IDENTITY = torch.eye(3)[None]


def half(seed: int) -> HalfSet:
    return PlantedParticles.of(
        Blobs.random(seed, spread=3.5, sigma=1.0), DISK, 300, 1, signal=200.0
    ).half_set()


def exploration(scores: tuple[float, ...]) -> tuple[Exploration, HalfSet]:
    """A map, the same one turned and seen from another side, and the map of another particle."""
    particle = half(1)
    turn = random_turns(1, 5)[0].float()
    turned = particle.with_poses(rotations=particle.rotations @ turn)
    sums = tuple(sums_of(each, 12.0, IDENTITY) for each in (particle, turned, half(2)))
    return Exploration(sums[0], 12.0, scores, 1.0, starts=sums, starts_radius=RADIUS), particle


@pytest.mark.parametrize(
    "scores, rivals",
    [
        ((100.0, 99.5, 99.0), [False, False, True]),  # two standard errors are no difference
        ((100.0, 80.0, 90.0), [False, False, False]),  # it explains less: no rival
        ((99.0, 99.5, 100.0), [True, True, False]),  # the best is what others are held against
    ],
)
def test_rivals_explain_as_much_and_differ(scores: tuple[float, ...], rivals: list[bool]) -> None:
    found, particle = exploration(scores)
    starts = report_starts(found, particle.particles, 0.42, 2)
    assert [start.rival for start in starts] == rivals
    assert [(start.attempt, start.start) for start in starts] == [(2, 1), (2, 2), (2, 3)]
    same, other = max(start.agrees_to_shell or 0.0 for start in starts), starts[2]
    assert same == RADIUS
    if scores[0] == 100.0:
        assert starts[1].agrees_to_shell > 8 and other.agrees_to_shell < 6


def test_a_single_start_has_no_rival() -> None:
    found, particle = exploration((1.0,))
    starts = report_starts(replace(found, starts=()), particle.particles, 0.42, 1)
    assert starts == (StartReport(1, 1, 1.0),)


@pytest.mark.parametrize("rising", [True, False])
def test_a_search_that_was_watched_tells_whether_it_came_to_its_end(rising: bool) -> None:
    found, particle = exploration((1.0,))
    found = replace(found, starts=(), rising=rising)
    starts = report_starts(found, particle.particles, 0.42, 1)
    assert starts == (StartReport(1, 1, 1.0, rising),)
