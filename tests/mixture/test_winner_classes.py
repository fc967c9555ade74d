"""Poses and classes by one encoder: which search goes with which explorer, and that it finds."""

from __future__ import annotations

import torch

from cryospin.explore.winner_search import WinnerSearch
from cryospin.mixture.class_search import ClassSearch
from cryospin.mixture.image_search import ImageSearch
from cryospin.mixture.joint import JointSearch, PatientClasses
from cryospin.mixture.winner_classes import WinnerClasses
from cryospin.reconstruct.direct_stage import DirectStage
from cryospin.reconstruct.semi_amortised import SemiAmortised
from cryospin.reconstruct.switching import SwitchRule
from cryospin.refine.assign import GlobalAssignment
from cryospin.rotations.grid import OrientationGrid
from planted_mixture import SETTING, UNRELATED, PlantedMixture
from reconstruct_toys import toy

ASSIGNMENT = GlobalAssignment(OrientationGrid.of(1, 6))
QUICK = SemiAmortised(
    search=WinnerSearch(heads=2, batch=32, width=32, side=16, march=4, last_radius=7.0),
    switch=SwitchRule(every=3, most_steps=9),
    direct=DirectStage(rounds=3, choosing=2, first_radius=5.0),
    last_radius=8.0,
)


def test_the_joint_search_is_of_the_recipe() -> None:
    explorer = toy("cryospin").starts.search
    suited = ClassSearch.suiting(explorer)
    assert isinstance(suited.joint, WinnerClasses) and suited.joint.method is explorer
    assert ClassSearch.suiting(toy("exhaustive").starts.search) == ClassSearch()
    assert isinstance(ClassSearch().joint, PatientClasses)
    assert isinstance(WinnerClasses(), JointSearch)


def test_every_image_has_a_pose_in_every_class() -> None:
    mixture = PlantedMixture.of(UNRELATED[:2], (80, 60), 1, signal=60.0)
    told: list[tuple[str, int, int]] = []
    joint = WinnerClasses(QUICK)
    search = ImageSearch(8.0, SETTING, ASSIGNMENT, lambda *e: told.append(e)).seeded(4)
    found = joint.run(mixture.half, 2, search)
    assert found.classes == 2 and found.particles is mixture.half.particles
    assert all(len(each.poses) == 140 for each in found.sets)
    torch.testing.assert_close(found.weights.sum(dim=1), torch.ones(140))
    assert told and told[-1][0] == "joint search" and told[-1][1] <= told[-1][2]
    again = joint.run(mixture.half, 2, search)
    assert torch.equal(again.weights, found.weights)
