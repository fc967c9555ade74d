"""`cryospin simulate` as a user meets it; what it computes is tests/simulate's business, and
bad input that of test_bad_input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.cli.main import main
from cryospin.io.mrc import write_map
from cryospin.io.relion import read_particles
from cryospin.simulate.molecule import chain_molecule
from cryospin.types import DensityMap

SIZE = ("--box", "32", "--pixel-size", "7")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    values = chain_molecule(1, domains=3, residues_per_domain=60).voxelize(32, 7.0)
    write_map(tmp_path / "model.mrc", DensityMap(torch.from_numpy(values), 7.0))
    return tmp_path / "model.mrc"


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def test_writes_the_data_set_and_says_so(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = np.tile([360, 1.3, 15000, 15500, 20, 200, 2.0, 0.07, 0], (3, 1))
    np.savez(tmp_path / "ctf.npz", ctf=table)
    code = run(
        "simulate", model, "--out", tmp_path / "out", "--particles", 40, *SIZE, "--snr", 0.1,
        "--max-shift", 2, "--ctf-from", tmp_path / "ctf.npz", "--seed", 3, "--views", "equator",
        "--noise", "coloured", "--threads", 1,
    )  # fmt: skip
    assert code == 0
    heard = capsys.readouterr()
    assert "40 particles" in heard.out and "-10.0 dB" in heard.out
    # no terminal here: plain lines
    assert "noise: 40 in" in heard.err and "\r" not in heard.err
    stack = read_particles(tmp_path / "out" / "truth.star")
    assert len(stack) == 40 and stack.optics[0].voltage_kv == 200
    assert stack.poses is not None and stack.poses.shifts_angstrom.abs().max() <= 14.0


def test_same_seed_same_files_other_seed_others(model: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        code = run(
            "simulate", model, "--out", tmp_path / name, "--particles", 10, *SIZE, "--snr", 1,
            "--seed", seed, "--threads", 2 if name == "b" else 1,
        )  # fmt: skip
        assert code == 0
    a, b, c = ((tmp_path / name / "particles.mrcs").read_bytes() for name in "abc")
    assert a == b != c


def test_a_mixture_from_maps(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(
        "simulate", model, model, "--out", tmp_path / "out", "--particles", 40, *SIZE, "--snr", 1,
        "--fractions", "3,1", "--junk", 0.2, "--threads", 1,
    )  # fmt: skip
    assert code == 0
    classes = read_particles(tmp_path / "out" / "truth.star").classes
    assert classes is not None
    counts = [int((classes.number == number).sum()) for number in (0, 1, -1)]
    said = f"class 1: {counts[0]}, class 2: {counts[1]}, junk: {counts[2]} particles"
    assert said in capsys.readouterr().out
    assert counts[0] > counts[1] > 0 and counts[2] > 0
    assert (tmp_path / "out" / "truth_class_02.mrc").is_file()
