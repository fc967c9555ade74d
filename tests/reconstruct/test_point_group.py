"""Maps and images together: which symmetry is named, and `--symmetry auto` that refines with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cryospin.explore.setting import Setting
from cryospin.io.relion import read_particles
from cryospin.journal.checkpoints import Checkpoints
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.particles.prepare import PreparedParticles, prepare_particles
from cryospin.poses import Assignment
from cryospin.recipes import find_recipe
from cryospin.reconstruct import abinitio, ready
from cryospin.reconstruct.exploration_report import ExplorationReport
from cryospin.reconstruct.judgement import _of_symmetry
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.point_group import SymmetryFound, find_symmetry
from cryospin.reconstruct.refinement import Halves
from cryospin.reconstruct.request import Request
from cryospin.reconstruct.result import Result
from cryospin.reconstruct.starting import IndependentStarts
from cryospin.refine.assign import GlobalAssignment
from cryospin.refine.halves import HalfSet
from cryospin.rotations.align import align_rotations
from cryospin.rotations.grid import OrientationGrid
from cryospin.rotations.symmetry import symmetry_group
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.projection import GaussianMolecule
from cryospin.simulate.transfer import draw_ctf
from cryospin.types import ParticleStack, Poses
from cryospin.volumes import point_group, symmetry_axes
from cryospin.volumes.alignment import MapAlignment
from cryospin.volumes.point_group import PointGroup
from phantoms import random_turns

BOX, PIXEL, COUNT = 32, 5.0, 800
SETTING = Setting(torch.eye(3)[None], 0.0)
# C3 about an axis that is not z
AXES = random_turns(1, 7)[0].double().numpy()


def trimer(broken: bool) -> GaussianMolecule:
    """Three copies of a chain about an axis; broken: one lacks a third of its residues."""
    unit = chain_molecule(2, domains=3, residues_per_domain=80)
    places = unit.positions_angstrom + np.array([32.0, 0.0, 5.0])
    copies = [places @ operator.T for operator in symmetry_group("C3").numpy()]
    weights = np.tile(unit.weights, 3)
    if broken:
        weights[: len(unit.weights) // 3] = 0.0
    sigmas = np.tile(unit.sigmas_angstrom, 3)
    return GaussianMolecule(np.concatenate(copies) @ AXES.T, weights, sigmas).centred()


@dataclass(frozen=True)
class Planted:
    """Halves at their true poses, each particle at any of its mates."""

    stack: ParticleStack
    truth: Poses
    halves: Halves
    half_set: np.ndarray

    @classmethod
    def of(cls, molecule: GaussianMolecule, folder: Path, mates: bool) -> Planted:
        poses = draw_poses(COUNT, max_shift_pixel=0.0, pixel_size_angstrom=PIXEL, seed=1)
        simulate(molecule, poses, Microscope(BOX, PIXEL, 0.5, draw_ctf(COUNT, 1), seed=1), folder)
        stack = read_particles(folder / "particles.star")
        operators = torch.as_tensor(AXES) @ symmetry_group("C3") @ torch.as_tensor(AXES).T
        which = torch.randint(3, (COUNT,), generator=torch.Generator().manual_seed(2))
        rotations = poses.rotations.double() @ operators[which if mates else 0 * which]
        half_set = np.arange(COUNT) % 2 + 1
        particles = prepare_particles(stack)
        halves = []
        for number in (1, 2):
            rows = torch.as_tensor(np.flatnonzero(half_set == number))
            halves.append(
                HalfSet(
                    particles.select(rows.numpy()),
                    Assignment.known(rotations[rows].float(), torch.zeros(len(rows), 2)),
                )
            )
        return cls(stack, poses, (halves[0], halves[1]), half_set)


@pytest.fixture(scope="module")
def symmetrical(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return Planted.of(trimer(broken=False), tmp_path_factory.mktemp("trimer"), mates=True)


def test_a_symmetry_that_images_confirm_is_named(symmetrical: Planted) -> None:
    found = find_symmetry(symmetrical.halves, SETTING)
    assert found.name == "C3"
    assert found.loss is not None
    # the same signal with less noise
    assert found.loss[0] < -found.loss[1] and not found.images_object


def test_images_tell_a_symmetry_that_is_nearly_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little was asked of the map."""
    monkeypatch.setattr(point_group, "_KEPT", 0.1)
    monkeypatch.setattr(symmetry_axes, "_FOLLOWED", 0.1)
    monkeypatch.setattr(point_group, "_LARGEST_FIRST", ["C3"])
    planted = Planted.of(trimer(broken=True), tmp_path, mates=False)
    found = find_symmetry(planted.halves, SETTING)
    assert found.in_the_map.name == "C3" and found.images_object
    assert found.name == "C1"


def solved(planted: Planted, symmetry: str, journal: Journal = UNRECORDED) -> Result:
    """From the poses planted instead of an exploration."""
    report = ExplorationReport(agreed=True, agreement_radius=12.0)

    def planted_start(*arguments: Any) -> tuple[Halves, ExplorationReport]:
        prepared: tuple[PreparedParticles, PreparedParticles] = arguments[1]
        first, second = planted.halves
        own = replace(first, particles=prepared[0]), replace(second, particles=prepared[1])
        return own, report

    full = find_recipe("exhaustive")
    assignment = GlobalAssignment(OrientationGrid.of(3, 18), hypotheses=3)
    method = replace(full, starts=replace(full.starts, assignment=assignment))
    request = Request(symmetry=symmetry, max_shift_angstrom=5.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IndependentStarts, "run", planted_start)
        patch.setattr(ready, "split_half_sets", lambda *arguments: planted.half_set)
        return method.run(planted.stack, request, Monitor(), journal)


@pytest.fixture(scope="module")
def auto(symmetrical: Planted) -> Result:
    return solved(symmetrical, "auto")


def test_auto_finds_it_and_refines_with_it(symmetrical: Planted, auto: Result) -> None:
    assert auto.symmetry == "C3"
    assert auto.found is not None and auto.found.name == "C3"
    # in RELION's axes: the truth's axis is elsewhere
    truth = symmetrical.truth.rotations.double() @ torch.as_tensor(AXES)
    aligned = align_rotations(auto.poses.rotations, truth, "C3")
    assert aligned.errors_degrees.median() < 3.0
    assert not any("looks" in warning for warning in auto.verdict.warnings)


def test_killed_after_the_group_was_found_it_resumes_to_the_same_bits(
    symmetrical: Planted, auto: Result, tmp_path: Path
) -> None:
    def journal() -> Journal:
        return Journal(Checkpoints.resumed(tmp_path / "checkpoints", {}, lambda text: None))

    class Killed(BaseException):
        pass

    write = Checkpoints.write

    def dying(self: Checkpoints, part: str, state: Any) -> None:
        write(self, part, state)
        if part.startswith("with symmetry/"):
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpoints, "write", dying)
        solved(symmetrical, "auto", journal())
    with pytest.MonkeyPatch.context() as patch:
        # recalled, not looked for again
        patch.setattr(abinitio, "find_symmetry", None)
        again = solved(symmetrical, "auto", journal())
    assert again.found is not None and auto.found is not None
    assert again.found.summary() == auto.found.summary()
    assert torch.equal(again.poses.rotations, auto.poses.rotations)
    assert torch.equal(again.map.values, auto.map.values)


def test_without_it_the_verdict_says_what_the_map_looks_like(symmetrical: Planted) -> None:
    result = solved(symmetrical, "C1")
    assert result.symmetry == "C1"
    assert any("looks C3: run again with --symmetry C3" in w for w in result.verdict.warnings)


def test_auto_imposes_nothing_where_there_is_none(tmp_path: Path) -> None:
    planted = Planted.of(trimer(broken=True), tmp_path, mates=False)
    result = solved(planted, "auto")
    assert result.symmetry == "C1" and result.found is not None and result.found.name == "C1"


def test_a_map_without_symmetry_is_not_told_to_be_run_again() -> None:
    centre = MapAlignment(torch.eye(3).double(), torch.zeros(3).double(), False, 1.0)
    found = SymmetryFound(PointGroup("C1", centre, (), 10.0))
    (evidence,) = _of_symmetry(found, "C1")
    assert evidence.passed and "run again" not in evidence.words
