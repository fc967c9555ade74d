"""A stack before its poses are looked for: dealt, measured, read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cryospin.io.relion import read_particles
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.point_group import AUTO
from cryospin.reconstruct.ready import imposed_from_the_start, made_ready
from cryospin.reconstruct.request import Request
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf
from cryospin.types import ParticleStack

COUNT, BOX, PIXEL = 40, 32, 5.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> ParticleStack:
    folder = tmp_path_factory.mktemp("simulated")
    poses = draw_poses(COUNT, max_shift_pixel=0, pixel_size_angstrom=PIXEL, seed=1)
    simulate(chain_molecule(1), poses, Microscope(BOX, PIXEL, 2.0, draw_ctf(COUNT, 1), 1), folder)
    return read_particles(folder / "particles.star")


def test_both_halves_are_read_and_what_is_asked_is_in_pixels(stack: ParticleStack) -> None:
    request = Request(seed=5, symmetry="C2", max_shift_angstrom=7.5, max_resolution_angstrom=16.0)
    ready, prepared = made_ready(stack, request, Monitor())
    assert [len(half) for half in prepared] == np.bincount(ready.half_set)[1:].tolist()
    uids = {uid for half in prepared for uid in half.uids}
    assert uids == set(stack.uids)
    assert prepared[0].disk.radius == BOX * PIXEL / 16.0
    setting = ready.setting
    assert len(setting.operators) == 2 and setting.shift_range_pixel == 1.5
    assert (setting.seed, setting.shared_seed) == (5, 5)


def test_a_particle_that_is_small_has_a_small_support(stack: ParticleStack) -> None:
    request = Request(particle_diameter_angstrom=0.4 * BOX * PIXEL)
    small, _ = made_ready(stack, request, Monitor())
    assert small.setting.support_radius == pytest.approx(0.55 * 0.4)
    assert small.setting.shift_range_pixel == pytest.approx(0.05 * BOX)


def test_some_of_the_particles_stay_in_their_half_sets(stack: ParticleStack) -> None:
    ready, _ = made_ready(stack, Request(), Monitor())
    rows = np.array([7, 3, 20])
    some = ready.select(rows)
    assert list(some.stack.uids) == [stack.uids[row] for row in rows]
    assert some.half_set.tolist() == ready.half_set[rows].tolist()
    assert some.setting is ready.setting


def test_a_group_that_is_to_be_found_is_not_imposed() -> None:
    assert torch.equal(imposed_from_the_start(AUTO), torch.eye(3)[None])
    assert len(imposed_from_the_start("D3")) == 6
