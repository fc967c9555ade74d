"""From one map to several: at the consensus' poses, or by a joint search where these mislead."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cryospin.mixture.class_search import Searched, _Problem
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.mixture.image_search import ImageSearch
from cryospin.mixture.regroup import Regrouping
from cryospin.particles.source import ParticleSource
from cryospin.refine.halves import HalfSet
from phantoms import angles_degrees, random_turns
from planted_mixture import SETTING, STATES, UNRELATED, PlantedMixture, accuracy
from small_class_search import ASSIGNMENT, METHOD, use_small_grids


@pytest.fixture(autouse=True)
def small_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    use_small_grids(monkeypatch)


def not_looked_for(some: ParticleSource) -> HalfSet:
    """Classes of so few images are not cut."""
    raise AssertionError(f"{len(some)} images are searched for alone")


def searched(mixture: PlantedMixture, seed: int = 1) -> Searched:
    told: list[tuple[str, int, int]] = []
    search = ImageSearch(METHOD.radius, SETTING, ASSIGNMENT, lambda *e: told.append(e))
    search = search.seeded(seed)
    alike = METHOD.at_common_poses(mixture.half, 2, search)
    found = METHOD.jointly(mixture.half, alike, search)
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
def test_what_is_put_together_anew_is_kept_where_it_explains_images_better(
    right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixture = PlantedMixture.of(UNRELATED[:2], (150, 100), 1, signal=90.0)
    half = mixture.half
    random = half.with_poses(rotations=random_turns(250, 9).float())
    begun = replace(mixture.classed(), sets=(random, half) if right else (half, half))
    other = replace(begun, sets=(half, half) if right else (random, random))
    tries = []

    def put_together(*_: object) -> ClassedHalf:
        tries.append(1)
        return other

    monkeypatch.setattr(Regrouping, "run", put_together)
    search = ImageSearch(METHOD.radius, SETTING, ASSIGNMENT)
    problem = _Problem(METHOD, search)
    monkeypatch.setattr(_Problem, "searched", lambda self, classed: self._settled(classed, classed))
    monkeypatch.setattr(_Problem, "polished", lambda self, classed: self._settled(classed, classed))
    before = problem.searched(begun).evidence
    found = problem.regrouped(Searched(begun, before, 1.0), not_looked_for)
    assert (found.evidence > before) if right else (found.evidence == before)
    assert len(tries) == (2 if right else 1), "until it explains them no better"
