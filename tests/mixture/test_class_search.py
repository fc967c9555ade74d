"""From one map to several: at the consensus' poses, or by a joint search where these mislead."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cryospin.journal.journal import Journal
from cryospin.mixture.class_search import Searched, _Problem
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.mixture.image_search import ImageSearch
from cryospin.particles.source import ParticleSource
from cryospin.refine.halves import HalfSet
from phantoms import angles_degrees, random_turns
from planted_mixture import SETTING, STATES, UNRELATED, PlantedMixture, accuracy
from small_class_search import ASSIGNMENT, METHOD, use_small_grids


@pytest.fixture(autouse=True)
def small_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    use_small_grids(monkeypatch)


def not_looked_for(some: ParticleSource, journal: Journal) -> HalfSet:
    """Classes of so few images are not explored alone."""
    raise AssertionError(f"{len(some)} images are searched for alone")


def searched(mixture: PlantedMixture, seed: int = 1) -> Searched:
    told: list[tuple[str, int, int]] = []
    search = ImageSearch(METHOD.radius, SETTING, ASSIGNMENT, lambda *e: told.append(e))
    search = search.seeded(seed)
    alike = METHOD.at_common_poses(mixture.half, 2, search)
    found = METHOD.jointly(mixture.half, alike, search, not_looked_for)
    assert {"split", "joint search", "assign class 1", "assign class 2"} <= {e[0] for e in told}
    assert all(0 < done <= total for _, done, total in told)
    return found


def test_states_of_one_structure_are_told_apart_at_common_poses() -> None:
    mixture = PlantedMixture.of(STATES[:2], (100, 100), 1, signal=40.0)
    found = searched(mixture)
    assert accuracy(found.half.numbers, mixture.numbers) > 0.95
    best = found.half
    own = torch.stack([each.rotations for each in best.sets])[best.numbers, torch.arange(200)]
    # every class has a frame of its own, but both lie in that of the consensus
    assert angles_degrees(own, mixture.half.rotations).median() < 10.0
    assert best.particles is mixture.half.particles or len(best.particles) == 200


@pytest.mark.parametrize("seed", [2, 3])
def test_unrelated_structures_are_told_apart_although_the_poses_mislead(seed: int) -> None:
    """The consensus is right for the first structure; of the second it knows nothing. At random
    one image of two would be right."""
    mixture = PlantedMixture.of(UNRELATED[:2], (150, 100), seed, signal=90.0)
    rotations = mixture.half.rotations.clone()
    lost = mixture.numbers == 1
    rotations[lost] = random_turns(int(lost.sum()), 9).float()
    misled = replace(mixture, half=mixture.half.with_poses(rotations=rotations))
    found = searched(misled)
    assert accuracy(found.half.numbers, mixture.numbers) > 0.8


@pytest.mark.parametrize("right", [True, False])
def test_a_class_explored_alone_is_taken_where_its_map_explains_its_images_better(
    right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The poses of the first class are lost, and exploring it alone leads to the true ones, or
    the other way round."""
    mixture = PlantedMixture.of(UNRELATED[:2], (150, 30), 1, signal=90.0)
    half = mixture.half
    random = half.with_poses(rotations=random_turns(180, 9).float())
    found, lost = (half, random) if right else (random, half)
    begun = replace(mixture.classed(), sets=(lost, half))
    explored: list[int] = []

    def alone(some: ParticleSource, journal: Journal) -> HalfSet:
        explored.append(len(some))
        return found.select(begun.rows_by_class[0])

    # polished poses are taken for what all images would be searched for in the maps
    taken: list[Tensor] = []

    def placed(self: ImageSearch, half: HalfSet, volumes: list[Tensor]) -> ClassedHalf:
        taken.extend(volumes)
        return begun

    monkeypatch.setattr(ImageSearch, "placed", placed)
    search = ImageSearch(METHOD.radius, SETTING, ASSIGNMENT)
    problem = _Problem(replace(METHOD, fewest=100), search)
    before = problem.searched(begun).evidence
    taken.clear()
    problem.each_alone(Searched(begun, before, 1.0), alone)
    assert explored == [150], "of the 30 images of the other no map could be made"
    truth = search.volumes(mixture.classed())
    for volume, true in zip(taken, truth, strict=True):
        likeness = (volume * true.conj()).sum().real / volume.norm() / true.norm()
        assert float(likeness) > 0.9


def test_classes_explored_alone_are_no_worse_than_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """All images are searched for in the new maps; where these explain them worse, what was found
    before is kept."""
    mixture = PlantedMixture.of(UNRELATED[:2], (60, 60), 1, signal=90.0)
    begun = Searched(mixture.classed(), 0.0, 1.0)
    search = ImageSearch(METHOD.radius, SETTING, ASSIGNMENT)
    problem = _Problem(METHOD, search)
    assert problem.each_alone(begun, not_looked_for) is begun
    worse = replace(begun, evidence=-1e6)
    assert problem.each_alone(worse, not_looked_for).evidence > -1e6
