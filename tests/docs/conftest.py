"""A folder with everything the pages name: particles of every program, maps, a finished run."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest

import cryospin.recipes.exhaustive
from cryospin.cli.convert import convert
from cryospin.cli.reconstruct import reconstruct
from cryospin.explore.exhaustive import ExhaustiveSearch
from cryospin.io.cryosparc_table import read_cs, with_columns, write_cs
from cryospin.reconstruct import cross_check, refinement
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.starting import IndependentStarts
from cryospin.refine.assign import GlobalAssignment
from cryospin.rotations.grid import OrientationGrid
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf
from cryospin.volumes import alignment_search, symmetry_axes

COUNT, BOX, PIXEL = 300, 32, 5.0
"""Images that are clear and few: reconstructed in seconds."""


@contextmanager
def quick_searches() -> Iterator[None]:
    """The default recipe with one start, fewer orientations and rounds, for centred particles;
    coarser searches for the placement of maps, for axes of symmetry and in the cross-check,
    and coarser masks."""
    full = cryospin.recipes.exhaustive.recipe()
    search = ExhaustiveSearch(starts=1, final_iterations=4, shifts_per_axis=1)
    assignment = GlobalAssignment(OrientationGrid.of(3, 18), hypotheses=3)
    rounds = replace(full.refinement, most_rounds=3)
    quick = AbInitio(IndependentStarts(search, assignment, attempts=3), rounds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cryospin.recipes.exhaustive, "recipe", lambda: quick)
        patch.setattr(alignment_search, "_COARSE_NSIDE", 2)
        patch.setattr(alignment_search, "_COARSE_IN_PLANE", 12)
        patch.setattr(refinement, "_MASK_GRID", BOX)
        patch.setattr(symmetry_axes, "_AXES_PER_ORDER", 1)
        patch.setattr(symmetry_axes, "_NSIDE", 4)
        patch.setattr(cross_check, "_SEARCH", replace(cross_check._SEARCH, grid=assignment.grid))
        patch.setattr(cross_check, "_WEIGHED", 5)
        yield


@pytest.fixture(autouse=True)
def quick_recipe() -> Iterator[None]:
    """For each test here, and no longer: the next one of the same process may be of elsewhere."""
    with quick_searches():
        yield


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a reader's folder")
    molecule = chain_molecule(1)
    poses = draw_poses(COUNT, max_shift_pixel=0.0, pixel_size_angstrom=PIXEL, seed=1)
    simulate(molecule, poses, Microscope(BOX, PIXEL, 4.0, draw_ctf(COUNT, 1), seed=1), folder)
    write_model(folder / "6vxx.pdb.gz", molecule.positions_angstrom)
    with quick_searches():
        reconstruct(folder / "particles.star", folder / "run", threads=1)
    for name in ("map", "half1", "half2", "mask"):
        shutil.copy(folder / "run" / f"{name}.mrc", folder)
    other_programs(folder)
    commands(folder / "bin")
    return folder


def write_model(path: Path, positions_angstrom: np.ndarray) -> None:
    """Carbon atoms at these places, as a gzipped PDB file."""
    structure, model, chain = gemmi.Structure(), gemmi.Model("1"), gemmi.Chain("A")
    for number, position in enumerate(positions_angstrom.tolist(), start=1):
        residue, atom = gemmi.Residue(), gemmi.Atom()
        residue.name, residue.seqid = "ALA", gemmi.SeqId(number, " ")
        atom.name, atom.element, atom.pos = "CA", gemmi.Element("C"), gemmi.Position(*position)
        residue.add_atom(atom)
        chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    with gzip.open(path, "wt") as file:
        file.write(structure.make_pdb_string())


def other_programs(folder: Path) -> None:
    """The same particles as cryoSPARC's and cryoDRGN's tables."""
    convert(folder / "truth.star", folder / "particles.txt")
    (folder / "particles.poses.pkl").rename(folder / "poses.pkl")
    (folder / "particles.ctf.pkl").rename(folder / "ctf.pkl")
    convert(folder / "truth.star", folder / "particles.cs")
    table = read_cs(folder / "particles.cs")
    shutil.copy(folder / "particles.cs", folder / "J57_particles.cs")
    names = table.dtype.names
    kinds = {"J42_003_particles": "blob/", "J42_passthrough_particles": "ctf/"}
    for place, prefix in (("J42", ""), (".", ""), ("elsewhere", "P1_")):
        (folder / place).mkdir(exist_ok=True)
        for name, kind in kinds.items():
            parts = {n: table[n] for n in names if n == "uid" or n.startswith(kind)}
            columns = with_columns(np.empty(len(table), dtype=[]), parts)
            name = f"{prefix}{name}" if "passthrough" in name else name
            if place != "." or "passthrough" not in name:
                write_cs(folder / place / f"{name}.cs", columns)


def commands(folder: Path) -> None:
    """What a shell finds: this cryospin, and a viewer that only sees whether the page is there."""
    folder.mkdir()
    scripts = {
        "cryospin": f'exec "{sys.executable}" -m cryospin.cli.main "$@"',
        "xdg-open": 'test -s "$1"',
    }
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in."""
    folder = Path(shutil.copytree(prepared, tmp_path / "work"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return folder
