"""RELION reconstructs the same map from a table and from what it was converted into and back.

Noise serves: every angle, origin, defocus and optics group of every image shapes the map.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.cli.convert import Format, convert
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.io.mrc import StackWriter, read_map
from cryospin.io.relion import read_particles, write_new_particles, write_particles
from cryospin.optics import CtfParameters, Optics
from cryospin.types import Poses
from phantoms import random_turns

BOX, PIXEL, COUNT = 32, 3.0, 120

pytestmark = pytest.mark.skipif(
    not shutil.which("relion_reconstruct"),
    reason="needs RELION on the PATH (Debian package relion)",
)


def table(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    with StackWriter(folder / "a.mrcs", BOX, PIXEL, COUNT) as writer:
        writer.append(rng.normal(size=(COUNT, BOX, BOX)))
    optics = (Optics("one", PIXEL, 300.0, 2.7, 0.1), Optics("two", PIXEL, 200.0, 1.4, 0.07))
    group = np.arange(COUNT) // 2 % 2
    constants = np.array([[300.0, 2.7, 0.1], [200.0, 1.4, 0.07]])[group].T
    u = rng.uniform(1e4, 2e4, COUNT)
    columns = (u, u - 3000, rng.uniform(-90, 90, COUNT), rng.uniform(0, 90, COUNT), *constants)
    ctf = CtfParameters(*(torch.tensor(values) for values in columns))
    shifts = torch.as_tensor(rng.uniform(-9, 9, (COUNT, 2)))
    poses = Poses(random_turns(COUNT, 0), shifts, torch.ones(COUNT))
    names = [f"{i + 1:06d}@a.mrcs" for i in range(COUNT)]
    write_new_particles(folder / "in.star", names, optics, BOX, group, ctf, poses)
    return folder / "in.star"


def reconstructed(table: Path, project: Path | None = None) -> torch.Tensor:
    """RELION counts paths from the folder it is started in; by default, the table's."""
    folder = project or table.parent
    place = table.relative_to(folder)
    command = f"relion_reconstruct --i {place} --o {place.with_suffix('.mrc')} --ctf"
    finished = subprocess.run(command.split(), cwd=folder, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return read_map(table.with_suffix(".mrc")).values


def agreement(first: torch.Tensor, second: torch.Tensor) -> float:
    """The least FSC below two thirds of Nyquist: beyond, so few images leave gaps in Fourier
    space, where RELION's division makes the last digit of an angle count."""
    return float(fourier_shell_correlation(first, second)[: BOX // 3].min())


@pytest.mark.parametrize(
    "way",
    [("30.star",), ("30.star", "31.star"), ("x.cs", "x.star"), ("x.txt", "x.star")],
    ids="-".join,
)
def test_relion_makes_the_same_map(tmp_path: Path, way: tuple[str, ...]) -> None:
    here = table(tmp_path)
    expected = reconstructed(here)
    for name in way:
        dialect = Format.relion_30 if name == "30.star" else Format.relion_31
        convert(here, tmp_path / name, to=dialect if name.endswith(".star") else None)
        here = tmp_path / name
    assert agreement(reconstructed(here), expected) > 0.95


def test_the_map_would_tell_of_a_wrong_sign(tmp_path: Path) -> None:
    expected = reconstructed(table(tmp_path))
    wrong = read_particles(tmp_path / "in.star")
    assert wrong.poses is not None
    poses = replace(wrong.poses, shifts_angstrom=-wrong.poses.shifts_angstrom)
    write_particles(tmp_path / "wrong.star", wrong, poses, None)
    assert agreement(reconstructed(tmp_path / "wrong.star"), expected) < 0.5


def test_relion_opens_a_cryosparc_stack(tmp_path: Path) -> None:
    """cryoSPARC's stacks end in .mrc, as RELION's maps do."""
    here = table(tmp_path)
    expected = reconstructed(here)
    (tmp_path / "a.mrcs").rename(tmp_path / "a.mrc")
    here.write_text(here.read_text().replace("a.mrcs", "a.mrc"))
    convert(here, tmp_path / "x.cs")
    (tmp_path / "below").mkdir()
    for place in (tmp_path / "x.star", tmp_path / "below" / "y.star"):
        convert(tmp_path / "x.cs", place)
        assert agreement(reconstructed(place, tmp_path), expected) > 0.95
