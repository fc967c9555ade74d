"""Classes in which a search got stuck, cut and put together anew."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cryospin.explore import grid_step
from cryospin.explore.patience import Patience
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.mixture.image_search import ImageSearch
from cryospin.mixture.joint import PatientClasses
from cryospin.mixture.regroup import Regrouping, grouped
from cryospin.mixture.split import ClassSplit
from cryospin.particles.source import ParticleSource
from cryospin.refine.assign import GlobalAssignment
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.refine.halves import HalfSet
from cryospin.rotations.grid import OrientationGrid
from planted_mixture import SETTING, UNRELATED, PlantedMixture, accuracy

GRID = OrientationGrid.of(2, 12)
ASSIGNMENT = GlobalAssignment(GRID, hypotheses=2, shifts_per_axis=2, polish=GaussNewton(steps=4))
SEARCH = ImageSearch(7.0, SETTING, ASSIGNMENT).seeded(1)
SPLIT = ClassSplit(radii=(6.0,), iterations=8, starts=1)
CUT = PatientClasses(
    Patience(
        below_nats=1e9,
        march_times_nats=0.0,
        shortest_march=6,
        held=1.0,
        momentum=0.0,
        first_images_times_nats=0.0,
        fewest_images=100,
        first_radius=4.0,
        cycle=2,
    ),
    radius=6.0,
)


class SmallGrids:
    """Coarser than a search needs, but for phantoms of a few blobs."""

    @staticmethod
    def of(nside: int, in_plane: int) -> OrientationGrid:
        return GRID


def test_pieces_that_take_each_others_images_are_one_group() -> None:
    """The fourth keeps its own: it is alone, although what it loses goes to one other."""
    takes = torch.tensor(
        [
            [0.4, 0.1, 0.4, 0.1, 0.0],
            [0.1, 0.3, 0.1, 0.1, 0.4],
            [0.4, 0.1, 0.4, 0.1, 0.0],
            [0.1, 0.0, 0.0, 0.9, 0.0],
            [0.0, 0.5, 0.0, 0.1, 0.4],
        ]
    )
    assert sorted(grouped(takes, 3)) == [[0, 2], [1, 4], [3]]
    assert sorted(grouped(takes, 5)) == [[0], [1], [2], [3], [4]]


def test_a_class_of_two_structures_and_a_structure_of_two_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No image of class 1 moves by itself, for no map is of its structure alone."""
    monkeypatch.setattr(grid_step, "OrientationGrid", SmallGrids)
    mixture = PlantedMixture.of(UNRELATED, (150, 150, 150), 1, signal=90.0)
    stuck = torch.zeros(450, 3)
    first, second, third = mixture.classed().rows_by_class
    stuck[torch.cat([first, second]), 0] = 1.0
    stuck[third[::2], 1] = stuck[third[1::2], 2] = 1.0
    classed = ClassedHalf((mixture.half,) * 3, stuck)
    assert accuracy(classed.numbers, mixture.numbers) < 0.7
    alone: list[int] = []
    told: list[tuple[str, int, int]] = []

    def as_one(some: ParticleSource) -> HalfSet:
        alone.append(len(some))
        rows = [mixture.half.particles.uids.index(uid) for uid in some.uids]
        return mixture.half.select(torch.tensor(rows))

    def settle(cut: ClassedHalf) -> tuple[ClassedHalf, float]:
        return SPLIT.settle(cut, 7.0, SETTING)

    search = ImageSearch(7.0, SETTING, ASSIGNMENT, lambda *e: told.append(e)).seeded(1)
    rng = np.random.default_rng(1)
    found = Regrouping(CUT, fewest=50).run(classed, search, settle, as_one, rng)
    assert accuracy(found.numbers, mixture.numbers) > 0.9
    assert len(alone) == 3 and sum(alone) == 450
    assert {"search each alone", "assign class 1", "cut class 1, joint search"} <= {
        label for label, _, _ in told
    }


def test_classes_of_few_images_stay_as_they_are() -> None:
    mixture = PlantedMixture.of(UNRELATED[:2], (40, 40), 1, signal=60.0)

    def never(*_: object) -> HalfSet:
        raise AssertionError

    classed, rng = mixture.classed(), np.random.default_rng(1)
    method = Regrouping(CUT, fewest=50)
    assert method.run(classed, SEARCH, lambda each: (each, 0.0), never, rng) is classed
