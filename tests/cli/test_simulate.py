"""`cryospin simulate` as a user meets it; what it computes is tests/simulate's business."""

from __future__ import annotations

import json
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
    assert "noise: 40 of 40" in heard.err and "\r" not in heard.err
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


@pytest.mark.parametrize(
    "changes, code, said",
    [
        ({"model": "missing.pdb"}, 2, "no such file"),
        ({"model": "text.pdb"}, 3, "text.pdb"),
        ({"model": "text.mrc"}, 3, "text.mrc"),
        ({"--box": 33}, 2, "even"),
        ({"--pixel-size": 1}, 2, "wide"),
        ({"--ctf-from": "missing.npz"}, 2, "no such file"),
        ({"--ctf-from": "text.pdb"}, 3, "text.pdb"),
        ({"--snr": -1}, 2, "snr"),
        ({"--particles": 0}, 2, "particles"),
        ({"--threads": 0}, 2, "threads"),
        ({"--out": "text.pdb/below"}, 5, "text.pdb"),
    ],
    ids=json.dumps,
)
def test_bad_input_is_one_message_and_an_exit_code(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, object],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("text.pdb", "text.mrc"):
        Path(name).write_text("nothing of the kind")
    options = {
        "model": model, "--out": "out", "--particles": 5, "--box": 32, "--pixel-size": 7,
        "--snr": 1,
    } | changes  # fmt: skip
    source = options.pop("model")
    flat = [part for option in options.items() for part in option]
    assert run("simulate", source, *flat) == code
    assert said in capsys.readouterr().err
    assert not list(Path().glob("out/*.star"))
