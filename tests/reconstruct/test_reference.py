"""A whole run by the plain twins of the kernels finds what the compiled ones find."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cryospin.explore import grid_step
from cryospin.explore.exhaustive import ExhaustiveSearch
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.io.relion import read_particles
from cryospin.kernels import cpu
from cryospin.kernels.dispatch import reference_only
from cryospin.recipes import find_recipe
from cryospin.reconstruct import cross_check, refinement
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.request import Request
from cryospin.reconstruct.result import Result
from cryospin.refine.assign import GlobalAssignment
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.rotations.grid import OrientationGrid
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf
from phantoms import angles_degrees

COUNT, BOX, PIXEL = 300, 24, 6.0
LIMIT_ANGSTROM = 20.0  # Fourier radius 7.2: shells 1 to 6 are whole
GRID = OrientationGrid.of(2, 12)
KERNELS = (
    "slice_volume", "insert_portions", "pose_losses", "pose_normal_equations", "grid_weights",
    "grid_peaks",
)  # fmt: skip
STEPS = GaussNewton(steps=2)


class CoarseGrid:
    @staticmethod
    def of(nside: int, in_plane: int) -> OrientationGrid:
        return GRID


def run(table: Path) -> Result:
    """Every stage of the default recipe, on coarse grids."""
    full = find_recipe("exhaustive")
    search = ExhaustiveSearch(
        starts=1,
        fewest_iterations=28,
        most_iterations=28,
        final_iterations=2,
        shifts_per_axis=1,
    )
    assignment = GlobalAssignment(GRID, hypotheses=2, polish=STEPS)
    starts = replace(full.starts, search=search, assignment=assignment, attempts=1)
    rounds = replace(full.refinement, most_rounds=8)
    asked = Request(seed=0, max_shift_angstrom=PIXEL, max_resolution_angstrom=LIMIT_ANGSTROM)
    method = replace(full, starts=starts, refinement=rounds)
    return method.run(read_particles(table), asked, Monitor())


def test_the_reference_finds_the_same_map_and_poses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid_step, "OrientationGrid", CoarseGrid)
    monkeypatch.setattr(refinement, "_MASK_GRID", BOX)
    judge = replace(cross_check._SEARCH, grid=GRID, polish=STEPS)
    monkeypatch.setattr(cross_check, "_SEARCH", judge)
    poses = draw_poses(COUNT, max_shift_pixel=0.5, pixel_size_angstrom=PIXEL, seed=1)
    microscope = Microscope(BOX, PIXEL, 4.0, draw_ctf(COUNT, 1), seed=1)
    simulate(chain_molecule(1), poses, microscope, tmp_path)
    compiled = run(tmp_path / "particles.star")
    for kernel in KERNELS:
        monkeypatch.delattr(cpu, kernel)
    with reference_only():
        plain = run(tmp_path / "particles.star")
    assert plain.verdict.label == compiled.verdict.label
    curve = fourier_shell_correlation(compiled.map.values, plain.map.values)
    assert curve[:6].min() > 0.999
    # Float32 sums in another order, which alternating poses and maps amplify: refinement stops
    # where the median pose turns by less than 0.1 degrees, so two of them may be twice that apart.
    angles = angles_degrees(compiled.poses.rotations, plain.poses.rotations)
    assert angles.median() < 0.2 and (angles < 1.0).double().mean() > 0.95
    shifts = (compiled.poses.shifts_angstrom - plain.poses.shifts_angstrom).norm(dim=1)
    assert shifts.median() < 0.01 * PIXEL
