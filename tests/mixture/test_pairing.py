"""Classes of the half-sets laid upon one another: order, rotation, shift and hand undone."""

from __future__ import annotations

import numpy as np
import torch

from cryospin.mixture.classed_half import ClassedHalf
from cryospin.mixture.image_search import ImageSearch
from cryospin.mixture.pairing import pair_classes
from cryospin.refine.assign import GlobalAssignment
from cryospin.refine.halves import after_alignment
from cryospin.rotations.grid import OrientationGrid
from cryospin.volumes.alignment import MapAlignment
from phantoms import angles_degrees, random_turns
from planted_mixture import SETTING, UNRELATED, PlantedMixture

RADIUS = 8.0
ASSIGNMENT = GlobalAssignment(OrientationGrid.of(3, 18))


def test_order_rotation_shift_and_hand_are_undone() -> None:
    first, second = (
        PlantedMixture.of(UNRELATED[:2], (120, 120), seed, signal=60.0) for seed in (1, 2)
    )
    turns = random_turns(2, 5)
    shifts = torch.tensor([[3.0, -2.0, 1.0], [0.0, 2.0, -3.0]]).double()
    truth = second.classed()
    moved = [
        after_alignment(truth.sets[number], MapAlignment(turns[number], shifts[number], hand, 1.0))
        for number, hand in ((0, False), (1, True))
    ]
    # the second class comes first there
    other = ClassedHalf((moved[1], moved[0]), truth.weights.flip(1))
    told: list[tuple[str, int, int]] = []
    search = ImageSearch(RADIUS, SETTING, ASSIGNMENT, lambda *event: told.append(event))
    paired = pair_classes((first.classed(), other), search)
    found = paired.halves[1]
    assert torch.equal(found.weights, truth.weights)
    for number in range(2):
        rows = second.numbers == number
        error = angles_degrees(found.sets[number].rotations[rows], second.half.rotations[rows])
        assert error.median() < 3.0, f"class {number}"
        offset = (found.sets[number].shifts_pixel - second.half.shifts_pixel)[rows]
        assert offset.norm(dim=1).median() < 0.3
    assert min(paired.agreement) > 6.0
    assert paired.halves[0].sets[0] is first.half, "the first half-set stays where it is"
    assert [event for event in told if event[0].startswith("lay")] == [
        ("lay upon one another", done, 2) for done in (1, 2)
    ]
    assert np.isfinite(paired.agreement).all()
