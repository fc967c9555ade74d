"""`cryospin evaluate` as a user meets it; the numbers are tests/evaluate's business."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cryospin.cli.main import main
from cryospin.io.mrc import write_map
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.io.table_writer import write_table
from cryospin.optics import CtfParameters, Optics
from cryospin.simulate.molecule import chain_molecule
from cryospin.types import Classes, DensityMap, Poses


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that found the truth exactly, in a frame of its own."""
    count = 120
    rng = np.random.default_rng(0)
    rotations = torch.as_tensor(Rotation.random(count, rng=rng).as_matrix())
    turn = torch.as_tensor(Rotation.from_euler("zyz", [10, 20, 30]).as_matrix())
    zeros = torch.zeros(count, dtype=torch.float64)
    ctf = CtfParameters(zeros + 2e4, zeros + 2e4, zeros, zeros, zeros + 300, zeros + 2.7, zeros)
    optics = (Optics("one", 6.0, 300.0, 2.7, 0.1),)
    names = [f"{i + 1:06d}@particles.mrcs" for i in range(count)]
    for name, orientations in (("truth.star", rotations), ("particles.star", rotations @ turn)):
        poses = Poses(orientations, torch.zeros(count, 2).double(), zeros)
        group = np.zeros(count, dtype=np.int64)
        write_new_particles(tmp_path / name, names, optics, 32, group, ctf, poses)
    values = chain_molecule(1, domains=3, residues_per_domain=60).voxelize(32, 6.0)
    for name in ("truth.mrc", "map.mrc"):
        write_map(tmp_path / name, DensityMap(torch.as_tensor(values), 6.0))
    return tmp_path


def test_prints_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run("evaluate", folder, "--truth", folder / "truth.star", "--map", folder / "truth.mrc")
    heard = capsys.readouterr().out
    assert code == 0
    assert "120 particles of 120" in heard and "0.00 deg" in heard and "12.80 A" in heard


def test_prints_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", folder, "--truth", folder / "truth.star", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rotation_error_degrees"]["median"] < 1e-3 and found["map"] is None


def test_prints_classes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a run of two classes against the truth of one, half of it junk in the run."""
    stack = read_particles(folder / "particles.star")
    number = torch.arange(len(stack)) % 4 // 2 - 1
    classes = Classes(number, torch.ones(len(stack), 2).double() / 2)
    write_table(folder / "particles.star", stack, "relion-3.1", classes=classes)
    for name in ("class_01", "class_02"):
        (folder / name).mkdir()
    (folder / "map.mrc").rename(folder / "class_01" / "map.mrc")
    truth = folder / "truth.mrc"
    assert run("evaluate", folder, "--truth", folder / "truth.star", "--map", truth) == 0
    heard = capsys.readouterr().out
    assert "accuracy 0.500, adjusted Rand index 0.000" in heard
    assert "true class 1" in heard and "is the true class" in heard and "0.00 deg" in heard
    assert "area under the FSC per image: 0.4" in heard and "60 of 120 images" in heard
