"""The area under the FSC of each image: against its definition, and classes that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cryospin.evaluate.image_fsc import fsc_auc, image_fsc_summary, moved_to_truth
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.simulate.molecule import chain_molecule
from cryospin.types import DensityMap
from cryospin.volumes.alignment import MapAlignment, apply_alignment

BOX, PIXEL = 32, 6.0
# the last shell is d/2 - 1
MOST = (BOX // 2 - 1) / BOX
MAPS = [
    DensityMap(torch.as_tensor(chain_molecule(seed, domains=4).voxelize(BOX, PIXEL)), PIXEL)
    for seed in range(2)
]
EVERYWHERE = DensityMap(torch.ones(BOX, BOX, BOX), PIXEL)


def test_area_of_curves_that_are_known() -> None:
    shells = BOX // 2 - 1
    assert fsc_auc(torch.ones(shells), BOX) == pytest.approx(MOST)
    # a curve that falls at once has the triangle between frequency 0 and the first shell
    assert fsc_auc(torch.zeros(shells), BOX) == pytest.approx(0.5 / BOX)
    line = 1.0 - torch.arange(1, BOX // 2) / (shells)
    assert fsc_auc(line, BOX) == pytest.approx(0.5 * MOST)


@pytest.mark.parametrize("flipped", [False, True])
def test_moving_back_is_the_inverse(flipped: bool) -> None:
    turn = torch.as_tensor(Rotation.from_euler("zyz", [20, 50, -70], degrees=True).as_matrix())
    alignment = MapAlignment(turn, torch.tensor([4.0, -7.0, 3.0]), flipped, 1.0)
    found = apply_alignment(MAPS[0], alignment)
    back = moved_to_truth(found, alignment)
    curve = fourier_shell_correlation(back.values, MAPS[0].values)
    # splines, twice
    assert curve[: BOX // 3].min() > 0.995


def test_each_image_counts_once() -> None:
    found = np.array([0, 0, 0, 1, 1, -1, 2, 0])
    shown = np.array([0, 0, 1, 1, 0, 0, 1, -1])
    asked: list[int] = []

    def true_map(structure: int) -> DensityMap:
        asked.append(structure)
        return MAPS[structure]

    maps = {number: (MAPS[number], EVERYWHERE) for number in (0, 1)}
    result = image_fsc_summary(maps, true_map, found, shown)
    across = fsc_auc(fourier_shell_correlation(MAPS[0].values, MAPS[1].values), BOX)
    assert across < 0.8 * MOST
    # three in the right class, two in the other's, one in none, one in a class without a map
    assert result["images"] == 7 and result["images_scored"] == 5
    assert result["unmasked_mean"] == pytest.approx((3 * MOST + 2 * across) / 5, abs=1e-6)
    assert result["unmasked_median"] == pytest.approx(MOST, abs=1e-6)
    assert result["masked_mean"] == pytest.approx(result["unmasked_mean"], abs=1e-6)
    # a hundred true maps are not held at once
    assert asked == [0, 1]


def test_no_map_no_score() -> None:
    nothing = image_fsc_summary({}, lambda structure: MAPS[0], np.zeros(3, int), np.zeros(3, int))
    assert nothing["images"] == 3 and nothing["images_scored"] == 0
    assert nothing["unmasked_mean"] is None and nothing["masked_median"] is None
