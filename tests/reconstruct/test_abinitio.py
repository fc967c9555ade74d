"""From images to map and poses, end to end on what is simulated here: small, clear images, and
a search cut down to what they need."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch

from cryospin.explore.exhaustive import ExhaustiveSearch
from cryospin.explore.setting import Setting
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.io.mrc import StackWriter, read_map
from cryospin.io.relion import read_particles, write_particles
from cryospin.particles.contrast import inverted
from cryospin.poses import Assignment
from cryospin.recipes import find_recipe
from cryospin.reconstruct import abinitio
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.exploration_report import ExplorationReport
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.ready import Ready
from cryospin.reconstruct.request import Request
from cryospin.reconstruct.result import Result
from cryospin.reconstruct.starting import IndependentStarts
from cryospin.refine.assign import GlobalAssignment
from cryospin.refine.halves import HalfSet
from cryospin.rotations.align import align_rotations
from cryospin.rotations.grid import OrientationGrid
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.projection import GaussianMolecule
from cryospin.simulate.transfer import draw_ctf
from cryospin.types import ParticleStack, Poses
from cryospin.volumes.alignment import align_maps, apply_alignment
from phantoms import angles_degrees

BOX, PIXEL, COUNT = 32, 5.0, 600
MAX_SHIFT = 1.0


def method() -> AbInitio:
    """The default recipe with fewer starts, iterations and orientations."""
    full = find_recipe("exhaustive")
    starts = IndependentStarts(
        search=ExhaustiveSearch(
            starts=1, fewest_iterations=16, most_iterations=16, final_iterations=4
        ),
        assignment=GlobalAssignment(OrientationGrid.of(3, 18), hypotheses=3),
        attempts=1,
    )
    return replace(full, starts=starts)


@dataclass(frozen=True)
class Simulation:
    folder: Path
    stack: ParticleStack
    truth: Poses

    @classmethod
    def of(cls, molecule: GaussianMolecule, folder: Path) -> Simulation:
        poses = draw_poses(COUNT, max_shift_pixel=MAX_SHIFT, pixel_size_angstrom=PIXEL, seed=1)
        microscope = Microscope(BOX, PIXEL, 2.0, draw_ctf(COUNT, seed=1), seed=1)
        simulate(molecule, poses, microscope, folder)
        return cls(folder, read_particles(folder / "particles.star"), poses)


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    """A molecule that fills most of its box, as the default support expects."""
    return Simulation.of(chain_molecule(1), tmp_path_factory.mktemp("simulated"))


def reconstructed(
    stack: ParticleStack, numba_threads: int = 1, torch_threads: int = 1, **request: object
) -> Result:
    before = numba.get_num_threads(), torch.get_num_threads()
    numba.set_num_threads(numba_threads)
    torch.set_num_threads(torch_threads)
    try:
        asked = Request(seed=0, max_shift_angstrom=MAX_SHIFT * PIXEL, **request)
        found = method().run(stack, asked, Monitor())
        assert torch.get_num_threads() == torch_threads  # given back
        return found
    finally:
        numba.set_num_threads(before[0])
        torch.set_num_threads(before[1])


@pytest.fixture(scope="module")
def result(simulation: Simulation) -> Result:
    return reconstructed(simulation.stack)


def test_finds_poses_and_says_so(simulation: Simulation, result: Result) -> None:
    assert result.verdict.converged
    aligned = align_rotations(result.poses.rotations, simulation.truth.rotations)
    assert aligned.errors_degrees.median() < 2.0
    # the rest were lost to a neighbouring peak of the first, poor map, and never looked at again
    assert (aligned.errors_degrees < 10).double().mean() > 0.9
    # sums of float32 weights
    assert ((result.poses.confidence > 0) & (result.poses.confidence <= 1 + 1e-6)).all()


def test_the_map_is_the_molecule(simulation: Simulation, result: Result) -> None:
    truth = read_map(simulation.folder / "truth.mrc")
    moved = apply_alignment(result.map, align_maps(result.map, truth))
    curve = fourier_shell_correlation(moved.values, truth.values)
    assert curve[:10].min() > 0.8


def test_half_maps_share_a_frame(result: Result) -> None:
    assert result.half1.box == result.half2.box == result.mask.box == BOX
    curve = fourier_shell_correlation(result.half1.values, result.half2.values)
    assert curve[:8].min() > 0.7
    assert result.resolution.resolution_0143_angstrom < BOX * PIXEL / 11


def test_halves_are_balanced_and_reported(simulation: Simulation, result: Result) -> None:
    assert np.bincount(result.half_set).tolist() == [0, COUNT // 2, COUNT // 2]
    assert len(result.explore.half1) == len(result.explore.half2) == 1
    assert len(result.refine) >= 2 and "limit" in result.refine[0]
    assert len(result.poses) == len(simulation.stack)


def test_the_same_seed_gives_the_same_bits(simulation: Simulation, result: Result) -> None:
    """On two threads of torch, and of numba where there are two cores."""
    again = reconstructed(simulation.stack, min(2, numba.config.NUMBA_NUM_THREADS), 2)
    assert again.half_set.tolist() == result.half_set.tolist()
    assert torch.equal(again.poses.rotations, result.poses.rotations)
    assert torch.equal(again.poses.shifts_angstrom, result.poses.shifts_angstrom)
    assert torch.equal(again.map.values, result.map.values)
    assert again.verdict == result.verdict and again.explore == result.explore


def test_the_other_contrast_gives_the_same_map(simulation: Simulation, result: Result) -> None:
    """The model is linear: with dark protein every map is the negative, every pose the same."""
    dark = reconstructed(inverted(simulation.stack), either_contrast=True)
    assert dark.contrast_inverted and not result.contrast_inverted
    assert torch.equal(dark.map.values, result.map.values)
    assert torch.equal(dark.half1.values, result.half1.values)
    assert torch.equal(dark.poses.rotations, result.poses.rotations)
    assert dark.verdict == result.verdict


def noise_only(folder: Path, stack: ParticleStack, seed: int) -> ParticleStack:
    """The same table with images of white noise."""
    folder.mkdir()
    with StackWriter(folder / "particles.mrcs", BOX, PIXEL, len(stack)) as writer:
        rng = np.random.default_rng(seed)
        writer.append(rng.normal(size=(len(stack), BOX, BOX)))
    return replace(stack, files=(folder / "particles.mrcs",))


def test_noise_does_not_converge(simulation: Simulation, tmp_path: Path) -> None:
    """As many images as of the particle, looked at as hard: those converge (see `result`).
    Exhaustive alignment of noise makes maps that look like something, but not twice the same."""
    found = reconstructed(noise_only(tmp_path / "noise", simulation.stack, 1))
    assert not found.verdict.converged
    assert found.verdict.reasons


def test_a_map_to_start_from_does_not_make_noise_converge(
    simulation: Simulation, tmp_path: Path
) -> None:
    """Einstein from noise (Henderson 2013): both halves are aligned to one map, so their maps
    share it; beyond what was given of it they share nothing."""
    stack = noise_only(tmp_path / "noise", simulation.stack, 4)
    given = read_map(simulation.folder / "truth.mrc")
    found = reconstructed(stack, initial_map=given, initial_lowpass_angstrom=40.0)
    assert not found.verdict.converged


def test_a_map_to_start_from_spares_the_search(simulation: Simulation) -> None:
    given = read_map(simulation.folder / "truth.mrc")
    found = reconstructed(simulation.stack, initial_map=given, initial_lowpass_angstrom=30.0)
    assert found.verdict.converged
    # and the frame is the given map's
    error = angles_degrees(found.poses.rotations, simulation.truth.rotations)
    assert error.median() < 2.0


def test_a_particle_small_in_its_box(tmp_path: Path) -> None:
    """Two fifths of the box wide: found, if not by all images, and the verdict tells whether."""
    molecule = chain_molecule(1, domains=4, residues_per_domain=60)
    small = Simulation.of(molecule, tmp_path)
    diameter = 2 * molecule.radius_angstrom
    found = reconstructed(small.stack, particle_diameter_angstrom=diameter)
    aligned = align_rotations(found.poses.rotations, small.truth.rotations)
    errors = aligned.errors_degrees
    assert errors.median() < 10
    assert found.verdict.converged == bool((errors < 10).double().mean() > 0.75)


@pytest.mark.skipif(
    shutil.which("relion_reconstruct") is None,
    reason="needs RELION on the PATH (Debian package relion)",
)
def test_relion_makes_our_map_of_our_poses(simulation: Simulation, result: Result) -> None:
    """Both weigh the same data by the CTF. In the last fifth before Nyquist 600 particles leave
    gaps, which RELION fills by iterated gridding and we by one division."""
    table = simulation.folder / "solved.star"
    write_particles(table, simulation.stack, result.poses, result.half_set)
    subprocess.run(
        ["relion_reconstruct", "--i", table.name, "--o", "relion.mrc", "--ctf"],
        cwd=simulation.folder, check=True, capture_output=True,
    )  # fmt: skip
    theirs = read_map(simulation.folder / "relion.mrc").values * result.mask.values
    curve = fourier_shell_correlation(result.map.values * result.mask.values, theirs)
    assert result.resolution.resolution_05_angstrom < BOX * PIXEL / 12
    assert curve[:12].min() > 0.99


@pytest.mark.parametrize("tried_without", [False, True])
def test_a_group_imposed_to_no_good_is_looked_for_instead(
    monkeypatch: pytest.MonkeyPatch, simulation: Simulation, tried_without: bool
) -> None:
    """Explored again without it; where the map has not got it, the verdict doubts it."""
    begun: list[int] = []
    asked: list[Request] = []

    def run(self: IndependentStarts, prepared: Any, setting: Setting, *rest: object):
        begun.append(len(setting.operators))
        halves = [
            HalfSet(p, Assignment.known(torch.eye(3).repeat(len(p), 1, 1), torch.zeros(len(p), 2)))
            for p in prepared
        ]
        return (halves[0], halves[1]), ExplorationReport(agreed=False)

    def finish(ready: Ready, *given: object) -> None:
        asked.append(ready.request)
        raise StopIteration

    monkeypatch.setattr(IndependentStarts, "run", run)
    monkeypatch.setattr(IndependentStarts, "better_without", lambda self, *given: True)
    monkeypatch.setattr(abinitio, "finished", finish)
    starts = replace(method().starts, tried_without=tried_without)
    with pytest.raises(StopIteration):
        replace(method(), starts=starts).run(simulation.stack, Request(symmetry="C2"), Monitor())
    if not tried_without:
        assert begun == [2] and asked[0].symmetry == "C2" and not asked[0].doubts
    else:
        assert begun == [2, 1] and asked[0].symmetry == "C1"
        assert "explained better without C2, and C2 is not found" in asked[0].doubts[0]
