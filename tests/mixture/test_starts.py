"""Both half-sets in classes: searched for jointly only where common poses end in disagreement."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from cryospin.journal.journal import UNRECORDED
from cryospin.mixture.class_search import Searched
from cryospin.mixture.classed_half import ClassedHalf, ClassedHalves
from cryospin.mixture.pairing import Paired
from cryospin.mixture.starts import ClassedStarts, _Run, _Try
from cryospin.particles.source import ParticleSource
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.starting import IndependentStarts
from cryospin.refine.halves import HalfSet
from mixture_toys import METHOD
from phantoms import disk_coefficients, in_memory, random_turns
from planted_mixture import DISK, SETTING, STATES, UNRELATED, PlantedMixture, accuracy
from small_class_search import ASSIGNMENT, use_small_grids
from small_class_search import METHOD as SEARCH

JOINTLY = 0


@pytest.mark.parametrize(
    ("counts", "alike", "tried", "taken"),
    [
        ((3,), {3}, [3], 3),
        ((3,), set(), [3], JOINTLY),
        (range(2, 6), {2, 3}, [2, 3, 4, 5], 3),
        (range(2, 6), {2, 3, 4, 5}, [2, 3, 4, 5], 5),
        (range(2, 6), {3}, [2, 3, 4, 5], 3),  # two of three may be drawn together, each time others
        (range(2, 6), {5}, [2, 3], JOINTLY),
        (range(2, 9), {2}, [2, 3, 4], 2),
    ],
)
def test_how_many_classes_half_sets_find_alike(
    counts: Sequence[int],
    alike: set[int],
    tried: list[int],
    taken: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of as many classes as there may be."""
    mixture = PlantedMixture.of(STATES[:1], (6,), 1, signal=1.0)
    asked: list[int] = []

    def at_common_poses(self: _Run, number: int, half: HalfSet, count: int) -> Searched:
        asked.append(count)
        even = torch.full((6, count), 1 / count)
        return Searched(ClassedHalf((mixture.half,) * count, even), 0.0, 0.0)

    def paired(self: _Run, halves: ClassedHalves, name: str) -> Paired:
        return Paired(halves, (9.0,) * halves[0].classes)

    def jointly(self: _Run, number: int, half: HalfSet, count: int, start: int) -> Searched:
        return Searched(ClassedHalf((mixture.half,), torch.ones(6, 1)), 0.0, 0.0)

    monkeypatch.setattr(_Run, "consensus", lambda self, number: mixture.half)
    monkeypatch.setattr(_Run, "at_common_poses", at_common_poses)
    monkeypatch.setattr(_Run, "paired", paired)
    monkeypatch.setattr(_Run, "jointly", jointly)
    monkeypatch.setattr(_Run, "junk", lambda *_: 0.2)
    monkeypatch.setattr(
        _Run, "found_alike", lambda self, p, _: p.halves[0].classes * (p.halves[0].classes in alike)
    )
    prepared = (mixture.half.particles,) * 2
    method = ClassedStarts(METHOD.one.starts, SEARCH)
    found = method.run(prepared, counts, 6, SETTING, Monitor(), UNRECORDED)
    assert asked[::2] == asked[1::2] == tried
    assert found.halves[0].classes == (taken or 1)


@pytest.mark.parametrize(
    ("alike", "junk", "searches", "taken"),
    [
        ({(3, 0, 0): 3}, 0.2, [3], 3),
        ({(3, 0, 0): 2, (4, 0, 0): 3}, 0.2, [3, 4], 4),
        ({(3, 0, 0): 1, (4, 0, 0): 1}, 0.2, [3, 4], 3),
        ({(3, 0, 0): 0, (4, 0, 0): 1}, 0.2, [3, 4], 4),
        ({(3, 0, 0): 0, (4, 0, 0): 1}, 0.0, [3], 3),  # a class for junk would divide structures
        # most are alike: other starts
        ({(3, 0, 0): 2, (4, 0, 0): 1, (3, 1, 0): 3}, 0.2, [3, 4, 3], 3),
        ({(3, 0, 0): 2, (4, 0, 0): 1, (3, 0, 2): 3}, 0.2, [3, 4, 3, 3], 3),
        ({(3, 0, 0): 2, (4, 0, 0): 3, (3, 0, 2): 3}, 0.0, [3, 3, 3], 3),
        ({(3, 0, 0): 1, (4, 0, 0): 2, (3, 2, 1): 2}, 0.2, [3, 4, 3, 3], 3),
    ],
)
def test_a_joint_search_is_made_until_half_sets_agree(
    alike: dict[tuple[int, int, int], int],
    junk: float,
    searches: list[int],
    taken: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """alike: of a count, and a start of either half-set. junk: the share of it there is."""
    mixture = PlantedMixture.of(STATES[:1], (6,), 1, signal=1.0)
    asked: list[int] = []

    def search(self: _Run, number: int, half: HalfSet, count: int, start: int) -> Searched:
        asked.append(count)
        even = torch.full((6, count), 1 / count)
        return Searched(ClassedHalf((mixture.half,) * count, even), float(start), 0.0, True)

    def paired(self: _Run, halves: ClassedHalves, name: str) -> Paired:
        one, other = (int(word) for word in re.findall(r"\d+", name)[1:] or (0, 0))
        return Paired(halves, (float(one), float(other)))

    def found_alike(self: _Run, found: Paired, least: float) -> int:
        one, other = (int(each) for each in found.agreement)
        return alike.get((found.halves[0].classes, one, other), 0)

    monkeypatch.setattr(_Run, "consensus", lambda self, number: mixture.half)
    monkeypatch.setattr(_Run, "alike_at_common_poses", lambda *_: None)
    monkeypatch.setattr(_Run, "jointly", search)
    monkeypatch.setattr(_Run, "junk", lambda *_: junk)
    monkeypatch.setattr(_Run, "paired", paired)
    monkeypatch.setattr(_Run, "found_alike", found_alike)
    prepared = (mixture.half.particles,) * 2
    method = ClassedStarts(METHOD.one.starts, SEARCH)
    found = method.run(prepared, (3,), 4, SETTING, Monitor(), UNRECORDED)
    assert asked[::2] == asked[1::2] == searches
    assert found.halves[0].classes == taken


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_how_much_junk_there_is(share: float) -> None:
    """Even while classes take all of it: images of noise alone are explained by none."""
    found = []
    for seed in (1, 2):
        known = PlantedMixture.of(UNRELATED[:2], (100, 100), seed, signal=60.0).classed()
        particles = in_memory(known.particles)
        images = particles.coefficients.clone()
        count = round(share * len(particles))
        images[:count] = disk_coefficients(count, DISK, seed).to(torch.complex64)
        noisy = replace(particles, coefficients=images)
        sets = tuple(replace(each, particles=noisy) for each in known.sets)
        found.append(Searched(ClassedHalf(sets, known.weights), 0.0, 0.0, jointly=True))
    prepared = found[0].half.particles, found[1].half.particles
    method = ClassedStarts(METHOD.one.starts, SEARCH)
    ends = found[0], found[1]
    tried = _Try(2, (0, 0), ends, Paired((ends[0].half, ends[1].half), (6.0, 6.0)), 1)
    least = _Run(method, prepared, SETTING, Monitor(), UNRECORDED).junk(tried)
    assert least < method.some_junk if share == 0.0 else 0.5 * share < least < 1.2 * share


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
        PlantedMixture.of(structures, (120, 120), seed, signal=90.0 if misled else 150.0)
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
    paired = ClassedStarts(starts, search).run(prepared, (2,), 2, SETTING, log, UNRECORDED)
    ways = [line["jointly"] for line in log.events if line["event"] == "classified"]
    assert ways == [False, False] + [True, True] * misled
    for half, mixture in zip(paired.halves, mixtures, strict=True):
        assert accuracy(half.numbers, mixture.numbers) > (0.75 if misled else 0.9)
        assert torch.isfinite(half.weights).all()
    if not misled:
        assert min(paired.agreement) >= 6.0
