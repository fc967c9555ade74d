"""Which map takes which images."""

from __future__ import annotations

import torch

from cryospin.mixture.image_search import ImageSearch, evenly, shares_taken
from cryospin.refine.assign import GlobalAssignment
from cryospin.rotations.grid import OrientationGrid
from planted_mixture import SETTING, UNRELATED, PlantedMixture

SEARCH = ImageSearch(8.0, SETTING, GlobalAssignment(OrientationGrid.of(2, 12)))


def test_maps_take_the_images_of_their_structure() -> None:
    """Maps of one half-set in another order, images of the other one."""
    first, second = (
        PlantedMixture.of(UNRELATED, (150, 120, 130), seed, signal=60.0) for seed in (1, 2)
    )
    volumes = SEARCH.volumes(first.classed().ordered([2, 0, 1]))
    groups = second.classed().rows_by_class
    placed = SEARCH.placed(second.half.select(torch.cat(groups)), volumes)
    shares = shares_taken(placed.weights, [len(rows) for rows in groups])
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(3))
    assert shares.argmax(dim=1).tolist() == [1, 2, 0]
    assert shares.amax(dim=1).min() > 0.9


def test_a_group_without_images_has_no_shares() -> None:
    weights = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    assert shares_taken(weights, [1, 0, 2]).tolist() == [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]


def test_so_many_rows_evenly() -> None:
    rows = torch.arange(10, 35)
    assert torch.equal(evenly(rows, 100), rows)
    assert evenly(rows, 5).tolist() == [10, 15, 20, 25, 30]
    assert len(evenly(rows, 7)) <= 7 and len(evenly(rows, 0)) == 0
    assert len(evenly(rows[:0], 5)) == 0
