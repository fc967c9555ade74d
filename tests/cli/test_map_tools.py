"""mask, lowpass, crop, postprocess and flip-hand as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.cli.main import main
from cryospin.evaluate.run import evaluate_run
from cryospin.io.mrc import StackWriter, read_map, write_map
from cryospin.io.relion import read_particles, write_new_particles, write_particles
from cryospin.optics import CtfParameters, Optics
from cryospin.simulate.molecule import chain_molecule
from cryospin.types import DensityMap, Poses
from cryospin.volumes.masks import spherical_mask
from phantoms import random_turns

BOX, PIXEL, COUNT = 32, 6.0, 60


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A folder as of a finished run, and its truth in truth.star and truth.mrc."""
    folder = tmp_path / "run"
    folder.mkdir()
    molecule = chain_molecule(2, domains=5, residues_per_domain=60)
    values = torch.as_tensor(molecule.voxelize(BOX, PIXEL)).float()
    generator = torch.Generator().manual_seed(0)
    for name in ("half1", "half2", "map"):
        noise = 0.3 * values.std() * torch.randn(values.shape, generator=generator)
        write_map(folder / f"{name}.mrc", DensityMap(values + noise, PIXEL))
    write_map(folder / "mask.mrc", spherical_mask(BOX, PIXEL, 60.0, 18.0))
    write_map(tmp_path / "truth.mrc", DensityMap(values, PIXEL))
    with StackWriter(tmp_path / "a.mrcs", BOX, PIXEL, COUNT) as writer:
        writer.append(np.random.default_rng(0).normal(size=(COUNT, BOX, BOX)))
    constants = (15000.0, 15000.0, 0.0, 0.0, 300.0, 2.7, 0.1)
    ctf = CtfParameters(*(value * torch.ones(COUNT) for value in constants))
    optics = (Optics("g", PIXEL, 300.0, 2.7, 0.1),)
    names = [f"{i + 1:06d}@a.mrcs" for i in range(COUNT)]
    shifts = torch.randn(COUNT, 2, generator=generator).double()
    poses = Poses(random_turns(COUNT, 4), shifts, torch.ones(COUNT).double())
    group = np.zeros(COUNT, dtype=int)
    write_new_particles(tmp_path / "truth.star", names, optics, BOX, group, ctf, poses)
    stack = read_particles(tmp_path / "truth.star")
    near = random_turns(COUNT, 5, degrees=4.0) @ poses.rotations
    found = Poses(near, shifts, poses.confidence)
    write_particles(folder / "particles.star", stack, found, np.arange(COUNT) % 2 + 1)
    (folder / "result.json").write_text(json.dumps({"verdict": "converged"}))
    return folder


def test_flip_hand_changes_everything_together(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cryospin.report.write_report", lambda folder: folder / "report.html")
    assert run("flip-hand", finished) == 0
    other = finished / "other_hand"
    truth = finished.parent / "truth.star", finished.parent / "truth.mrc"
    before, after = (evaluate_run(folder, *truth) for folder in (finished, other))
    assert after["hand_flipped"] is not before["hand_flipped"]
    for name in ("median", "mean"):
        errors = [found["rotation_error_degrees"][name] for found in (before, after)]
        assert errors[0] == pytest.approx(errors[1], abs=2e-3)
    assert after["shift_error"]["rms_pixel"] == pytest.approx(
        before["shift_error"]["rms_pixel"], abs=1e-3
    )
    crossings = [found["map"]["fsc_0.5_angstrom"] for found in (before, after)]
    assert crossings[0] == pytest.approx(crossings[1], rel=0.02)
    assert run("flip-hand", other, "--out", finished.parent / "back") == 0
    for name in ("map", "half1", "half2", "mask"):
        first, last = (read_map(f / f"{name}.mrc") for f in (finished, finished.parent / "back"))
        assert torch.equal(first.values, last.values)


def test_mask(finished: Path, tmp_path: Path) -> None:
    source, out = finished / "map.mrc", tmp_path / "m.mrc"
    assert run("mask", source, "--out", out, "--lowpass", 20) == 0
    values = read_map(out).values
    assert values.min() == 0 and values.max() == 1
    assert run("mask", source, "--out", out, "--radius", 50) == 0
    assert read_map(out).values[BOX // 2, BOX // 2, BOX // 2] == 1


def test_lowpass_and_crop(finished: Path, tmp_path: Path) -> None:
    source, out = finished / "map.mrc", tmp_path / "o.mrc"
    assert run("lowpass", source, 40, "--out", out) == 0
    assert read_map(out).values.std() < read_map(source).values.std()
    assert run("crop", source, "--out", out, "--box", 24) == 0
    assert read_map(out).box == 24
    assert run("crop", source, "--out", out, "--pixel-size", 12.0) == 0
    assert (read_map(out).box, read_map(out).pixel_size_angstrom) == (16, pytest.approx(12.0))


def test_postprocess(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    halves = finished / "half1.mrc", finished / "half2.mrc"
    out = tmp_path / "post"
    assert run("postprocess", *halves, "--out", out, "--b-factor", -100, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["b_factor_angstrom2"] == -100
    assert told["resolution_angstrom"]["fsc_0.143"] < 40
    for name in ("postprocessed.mrc", "mask.mrc", "fsc.star", "fsc.xml"):
        assert (out / name).is_file()
    # voxels of 6 Angstrom have nothing beyond 10 for a fit
    assert run("postprocess", *halves, "--out", out) == 0
    assert "not sharpened" in capsys.readouterr().out
