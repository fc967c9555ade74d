"""No function of the hot path takes up a tensor of the CPU where its particles are elsewhere.

There is no card where tests run. Fake tensors of another device have shapes and no values, and
torch refuses to mix them with tensors of the CPU as it would on a card.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from cryospin.explore.exhaustive import ExhaustiveSearch, _Race
from cryospin.explore.grid_step import GridStep
from cryospin.explore.patience import Patience, PatientSearch
from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.kernels import margin_for
from cryospin.particles.prepare import PreparedParticles
from cryospin.particles.spectrum import prior_precision
from cryospin.poses import Assignment
from cryospin.reconstruct.refinement import half_set_fsc, prior_of, unfiltered_map
from cryospin.refine.assign import GlobalAssignment
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.refine.halves import HalfSet, refine_half, residual_noise, sums_of
from cryospin.rotations.grid import OrientationGrid, view_half_turns
from cryospin.volumes.gridded import SliceSums, map_of, map_to_volume, support_sphere

ELSEWHERE = torch.device("meta")
BOX, COUNT, RADIUS = 32, 40, 10.0
DISK = FourierDisk.of(BOX, RADIUS)


@pytest.fixture(autouse=True)
def fake() -> Iterator[None]:
    # tests elsewhere may have left tensors of a device of the same name
    view_half_turns.cache_clear()
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield
    view_half_turns.cache_clear()


def elsewhere(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=ELSEWHERE)


def particles() -> PreparedParticles:
    return PreparedParticles(
        FourierDisk.of(BOX, RADIUS),
        3.0,
        tuple(map(str, range(COUNT))),
        elsewhere(COUNT, len(DISK), dtype=torch.complex64),
        elsewhere(COUNT, len(DISK)),
        elsewhere(COUNT, dtype=torch.long),
        elsewhere(2, int(DISK.shell.max()) + 1),
    )


def half() -> HalfSet:
    return HalfSet(particles(), Assignment.known(elsewhere(COUNT, 3, 3), elsewhere(COUNT, 2)))


def operators() -> Tensor:
    return elsewhere(2, 3, 3)


def setting() -> Setting:
    return Setting(operators()[:1], 2.0)


def sums() -> SliceSums:
    return sums_of(half(), RADIUS, operators())


def support() -> Tensor:
    return support_sphere(BOX, RADIUS, 0.42, ELSEWHERE)


def assert_elsewhere(*tensors: Tensor) -> None:
    assert [tensor.device.type for tensor in tensors] == ["meta"] * len(tensors)


def test_mixing_is_refused_here_as_on_a_card() -> None:
    with pytest.raises(RuntimeError, match="same device"):
        elsewhere(3) + torch.ones(3)


def test_a_map_is_made_where_the_images_are() -> None:
    made = sums()
    assert_elsewhere(made.numerator, made.denominator)
    precision = prior_precision(particles())
    density = map_of(made, precision, RADIUS, BOX, support())
    assert_elsewhere(precision, density, unfiltered_map(made, RADIUS, BOX, 24))
    assert_elsewhere(map_to_volume(density, BOX, RADIUS))


def test_halves_are_compared_where_they_are() -> None:
    pair = (sums(), sums())
    curve = half_set_fsc(pair, RADIUS, BOX, support())
    assert_elsewhere(curve.values, prior_of(pair[0], curve))


def test_poses_are_refined_where_the_images_are() -> None:
    refined = refine_half(half(), elsewhere(24, 24, 24), RADIUS, GaussNewton(steps=2))
    assert_elsewhere(refined.rotations, refined.shifts_pixel)


def test_noise_is_measured_where_the_images_are() -> None:
    factor = residual_noise(half(), elsewhere(24, 24, 24), RADIUS - 2)
    white = particles().rewhitened(elsewhere(2, int(DISK.shell.max()) + 1))
    assert_elsewhere(factor, white.coefficients, white.ctf)


def test_poses_are_searched_where_the_images_are() -> None:
    grid = OrientationGrid.of(1, 4)
    method = GlobalAssignment(grid, hypotheses=2, polish=GaussNewton(steps=2))
    margin = margin_for(RADIUS)
    volume = elsewhere(2 * margin + 1, 2 * margin + 1, margin + 1, dtype=torch.complex64)
    found = method.run(volume, particles(), RADIUS, setting())
    assert_elsewhere(found.rotations, found.shifts_pixel, found.loss, found.confidence)


def grid_step() -> GridStep:
    return GridStep.of(particles(), setting(), 3, last_radius=8.0, fine_from=7.0)


def test_exploration_stays_where_the_images_are() -> None:
    search = ExhaustiveSearch(most_images=20, fewest_images=10, last_radius=8.0, race_radius=7.0)
    race = _Race(search, grid_step(), 100.0)
    made = race.random_start(0)
    made = race.iterate(made, 0, 0, race.racing)
    assert_elsewhere(made.numerator, made.denominator)


def test_patience_stays_where_the_images_are(monkeypatch: pytest.MonkeyPatch) -> None:
    # the evidence decides, and fake tensors have none
    monkeypatch.setattr("cryospin.explore.patience.dropped", lambda evidence, cycle: False)
    number = "cryospin.explore.patience.float"
    monkeypatch.setattr(number, lambda value: 12.0, raising=False)
    search = PatientSearch(Patience(), grid_step(), 10.0)
    order = particles().rows(np.arange(COUNT))
    climb = search._next(search._begun(order), order)
    assert_elsewhere(*climb.references, *climb.mapped, climb.sums[0].numerator, climb.prior)
