"""Axes are found where they are in a map, each once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cryospin.rotations.symmetry import symmetry_group
from cryospin.types import DensityMap
from cryospin.volumes.spectrum_pair import spectrum_pair
from cryospin.volumes.symmetry_axes import Axis, HalfMapJudge, degrees_apart, found_axes
from phantoms import Blobs, random_turns

BOX, RADIUS = 32, 10


def test_the_powers_of_an_axis_are_its_group_without_the_identity() -> None:
    point = torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64)
    axis = Axis(4, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64), point)
    powers = axis.powers()
    found = torch.stack([power.rotation for power in powers])
    torch.testing.assert_close(found, symmetry_group("C4")[1:])
    for power in powers:
        torch.testing.assert_close(power.rotation @ point + power.shift_pixel, point)


def test_the_axis_of_a_map_is_found_off_its_center() -> None:
    operators, turn = symmetry_group("C3"), random_turns(1, 4)[0].double()
    center = torch.tensor([1.0, -0.7, 0.4], dtype=torch.float64)
    rng = np.random.default_rng(1)
    unit = torch.as_tensor(rng.normal(size=(8, 3)) * 4.0)
    positions = torch.einsum("gij,nj->gni", operators, unit).flatten(0, 1) @ turn.T + center
    sigmas = torch.full((len(positions),), 1.5, dtype=torch.float64)
    weights = torch.as_tensor(rng.uniform(0.5, 1.5, 8)).repeat(3)
    values = Blobs(positions, weights, sigmas).density(BOX).float()
    density = DensityMap(values, 4.0)
    judge = HalfMapJudge.of(density, density, RADIUS)
    axes = found_axes(spectrum_pair(values, values, judge.radius), judge)
    best = axes[0]
    assert best.order == 3 and best.kept > 0.9
    assert degrees_apart(best.direction, turn[:, 2]) < 1.0
    # as near to the axis through the center as a tenth of a pixel
    assert torch.linalg.cross(center - best.point, best.direction).norm() < 0.1
    assert not any(best.same(other) for other in axes[1:])


def test_an_axis_has_no_ends() -> None:
    direction = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    axis = Axis(2, direction, torch.zeros(3, dtype=torch.float64))
    assert axis.same(axis.reversed())
    assert degrees_apart(direction, -direction) == pytest.approx(0.0, abs=1e-5)
