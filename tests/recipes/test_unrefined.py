"""How a recipe finds its poses is no part of how it is judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cryospin.explore.exploration import Exploration
from cryospin.explore.setting import Setting
from cryospin.io.relion import read_particles
from cryospin.particles.prepare import PreparedParticles
from cryospin.poses import Assignment
from cryospin.recipes.unrefined import unrefined
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.request import Request
from cryospin.reconstruct.result import Result
from cryospin.refine.assign import GlobalAssignment
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.refine.halves import HalfSet, sums_of
from cryospin.rotations.grid import OrientationGrid
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf
from cryospin.types import ParticleStack
from phantoms import misplaced

BOX, PIXEL, COUNT, WRONG = 32, 5.0, 400, 0.35


@dataclass(frozen=True)
class Told:
    """An explorer that has the answer, but for some particles whose poses are made up."""

    rotations: dict[str, Tensor]
    last_radius: float = 12.0
    one_thread: bool = False

    def run(
        self,
        particles: PreparedParticles,
        setting: Setting,
        *circumstances: Any,
    ) -> Exploration:
        rotations = torch.stack([self.rotations[uid] for uid in particles.uids])
        count = len(rotations)
        half = HalfSet(particles, Assignment.known(rotations, torch.zeros(count, 2)))
        half = misplaced(half, WRONG, setting.seed)
        sums = sums_of(half, self.last_radius, setting.operators)
        return Exploration(sums, self.last_radius, (0.0,), 1.0, half.poses.alone())


@dataclass(frozen=True)
class Run:
    stack: ParticleStack
    search: Told
    result: Result


def ran(method: AbInitio, stack: ParticleStack) -> Result:
    return method.run(stack, Request(seed=0, max_shift_angstrom=PIXEL), Monitor())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("simulated")
    poses = draw_poses(COUNT, max_shift_pixel=0, pixel_size_angstrom=PIXEL, seed=1)
    microscope = Microscope(BOX, PIXEL, 2.0, draw_ctf(COUNT, seed=1), seed=1)
    simulate(chain_molecule(1), poses, microscope, folder)
    stack = read_particles(folder / "particles.star")
    search = Told(dict(zip(stack.uids, poses.rotations.float(), strict=True)))
    return Run(stack, search, ran(unrefined(search, attempts=1), stack))


def test_the_poses_of_the_explorer_are_final(run: Run) -> None:
    """Those of half 1, in whose frame the halves are joined."""
    first = np.flatnonzero(run.result.half_set == 1)[int(WRONG * COUNT / 2) :]
    found = run.result.poses.select(torch.as_tensor(first))
    truth = torch.stack([run.search.rotations[run.stack.uids[row]] for row in first])
    assert torch.equal(found.rotations, truth) and not found.shifts_angstrom.any()


def test_the_search_a_recipe_comes_with_does_not_judge_it(run: Run) -> None:
    """A third of the poses are wrong. A search of a few orientations, unpolished, finds nothing
    clearly better for them, and would let them pass."""
    method = unrefined(run.search, attempts=1)
    crude = GlobalAssignment(OrientationGrid.of(1, 6), hypotheses=1, polish=GaussNewton(steps=0))
    other = replace(method, starts=replace(method.starts, assignment=crude))
    verdict = run.result.verdict
    assert verdict == ran(other, run.stack).verdict
    (found_again,) = (e.value for e in verdict.evidence if e.name.startswith("poses found again"))
    assert found_again == pytest.approx(1 - WRONG, abs=0.06)
