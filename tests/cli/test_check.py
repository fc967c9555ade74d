"""`cryospin check`: what it says of good particles, and of bad ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.cli.check import check
from cryospin.errors import BadDataError
from cryospin.io.mrc import StackWriter
from cryospin.io.relion import write_new_particles
from cryospin.types import CtfParameters, Optics

PARTICLES, BOX, PIXEL = 120, 16, 2.5


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """120 images of noise; some constant if a test makes them so."""
    return write_particles(tmp_path)


def write_particles(folder: Path, constant: list[int] | None = None) -> Path:
    images = np.random.default_rng(4).normal(size=(PARTICLES, BOX, BOX)).astype(np.float32)
    if constant is not None:
        images[constant] = 1.0
    with StackWriter(folder / "particles.mrcs", BOX, PIXEL, PARTICLES) as stack:
        stack.append(images)
    ones = torch.ones(PARTICLES, dtype=torch.float64)
    defocus = torch.linspace(1e4, 2e4, PARTICLES, dtype=torch.float64)
    ctf = CtfParameters(defocus, defocus, 0 * ones, 0 * ones, 300 * ones, 2.7 * ones, 0.1 * ones)
    write_new_particles(
        folder / "particles.star",
        [f"{number + 1:06d}@particles.mrcs" for number in range(PARTICLES)],
        (Optics("first", PIXEL, 300.0, 2.7, 0.1),),
        BOX,
        np.zeros(PARTICLES, dtype=int),
        ctf,
    )
    return folder / "particles.star"


def test_good_particles_are_summed_up(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(table)
    printed = capsys.readouterr().out
    for words in ("fit to be reconstructed", "120 in 1 stack", "16 px of 2.5", "300 kV"):
        assert words in printed


def test_json_of_good_particles(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(table, as_json=True)
    summary = json.loads(capsys.readouterr().out)
    assert summary["ok"] and summary["images_read"]
    assert summary["particles"] == PARTICLES
    assert summary["box_angstrom"] == BOX * PIXEL
    assert summary["defocus_angstrom"]["min"] == pytest.approx(1e4)
    assert summary["optics_groups"][0]["particles"] == PARTICLES
    assert not summary["has_poses"]


def test_a_few_bad_images_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_particles(tmp_path, constant=[41])
    check(table, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] and found["bad_images"]["count"] == 1
    first = found["bad_images"]["first"][0]
    assert (first["row"], first["uid"]) == (42, "000042@particles.mrcs")
    assert any("rejected.star" in warning for warning in found["warnings"])
    check(table)
    assert "1 the same value in every pixel" in capsys.readouterr().out


def test_many_bad_images_are_refused_unless_only_the_table_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_particles(tmp_path, constant=list(range(41, 60)))
    with pytest.raises(BadDataError, match="row 42"):
        check(table, as_json=True)
    refusal = json.loads(capsys.readouterr().out)
    assert not refusal["ok"]
    assert (refusal["row"], refusal["column"]) == (42, "rlnImageName")
    assert refusal["fix"]
    check(table, images=False)
    assert "were not read" in capsys.readouterr().out


def test_json_holds_every_finding(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(table, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["files"][0]["images"] == PARTICLES
    assert found["contrast"]["protein"] == "uncertain"
    assert found["ctf_fit"]["verdict"] == "silent"
    assert found["plan"]["memory_bytes"] > 0 and found["plan"]["seconds"] > 0
    assert found["background_deviation"]["median"] == pytest.approx(1.0, abs=0.1)
    assert found["too_close"] is None
