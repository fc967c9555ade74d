"""Both half-sets in classes: searched for jointly only where common poses end in disagreement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from cryospin.journal.journal import UNRECORDED
from cryospin.mixture.distinct import Likeness, several_told_apart
from cryospin.mixture.starts import ClassedStarts
from cryospin.particles.source import ParticleSource
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.starting import IndependentStarts
from cryospin.refine.halves import HalfSet
from mixture_toys import METHOD
from phantoms import random_turns
from planted_mixture import SETTING, STATES, UNRELATED, PlantedMixture, accuracy
from small_class_search import ASSIGNMENT, use_small_grids
from small_class_search import METHOD as SEARCH


@pytest.mark.parametrize(
    ("agreement", "same", "wanted", "found"),
    [
        ((9.0, 9.0, 9.0), (), 3, True),
        ((9.0, 7.9, 9.0), (), 3, False),  # the second is found by one half-set only
        ((9.0, 7.9, 9.0), (), 2, True),
        ((9.0, 9.0, 9.0), ((0, 2),), 3, False),  # two are one structure
        ((9.0, 9.0, 9.0), ((0, 2),), 2, True),
        ((9.0, 9.0, 9.0), ((0, 1), (0, 2), (1, 2)), 2, False),
    ],
)
def test_enough_structures(
    agreement: tuple[float, ...], same: tuple[tuple[int, int], ...], wanted: int, found: bool
) -> None:
    pairs = [
        Likeness(one, other, 0.0 if (one, other) in same else 0.9, 0.9)
        for one, other in ((0, 1), (0, 2), (1, 2))
    ]
    assert several_told_apart(pairs, agreement, 8.0, wanted) == found


@dataclass(frozen=True)
class Planted(IndependentStarts):
    """Whose map of all images is of poses that are given."""

    planted: tuple[HalfSet, ...] = ()

    def alone(self, particles: ParticleSource, half: int, *_: Any) -> HalfSet:
        return self.planted[half - 1]


class Log(Monitor):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def log(self, **line: Any) -> None:
        self.events.append(line)


@pytest.mark.parametrize("misled", [False, True])
def test_a_joint_search_is_for_poses_that_mislead(
    misled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_small_grids(monkeypatch)
    structures = UNRELATED[:2] if misled else STATES[:2]
    mixtures = [
        PlantedMixture.of(structures, (120, 120), seed, signal=90.0 if misled else 60.0)
        for seed in (1, 2)
    ]
    halves = []
    for seed, mixture in enumerate(mixtures):
        rotations = mixture.half.rotations.clone()
        if misled:  # the map is of the first structure
            lost = mixture.numbers == 1
            rotations[lost] = random_turns(int(lost.sum()), seed).float()
        halves.append(mixture.half.with_poses(rotations=rotations))
    toy = METHOD.one.starts
    starts = Planted(toy.search, ASSIGNMENT, agreement_radius=6.0, planted=tuple(halves))
    search = replace(SEARCH, rounds=1)
    log = Log()
    prepared = halves[0].particles, halves[1].particles
    paired = ClassedStarts(starts, search).run(prepared, 2, 2, SETTING, log, UNRECORDED)
    jointly = [line for line in log.events if "jointly" in line]
    assert len(jointly) == (2 if misled else 0)
    for half, mixture in zip(paired.halves, mixtures, strict=True):
        assert accuracy(half.numbers, mixture.numbers) > (0.75 if misled else 0.9)
        assert torch.isfinite(half.weights).all()
    if not misled:
        assert min(paired.agreement) >= 6.0
