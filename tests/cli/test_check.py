"""`cryospin check`: what it says of good particles, and of bad ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.cli.check import check
from cryospin.cli.reconstruct import reconstruct
from cryospin.errors import BadDataError
from cryospin.io.mrc import StackWriter
from cryospin.io.relion import write_new_particles
from cryospin.io.star import StarFile, read_star
from cryospin.io.star_writer import write_star
from cryospin.optics import CtfParameters, Optics
from cryospin.report import write_report

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


def edited(table: Path, optics: dict[str, str], picks: list[tuple[int, int]] | None) -> Path:
    """The table with columns added to its optics, and picks on one micrograph."""
    blocks = read_star(table).blocks
    blocks["optics"].columns.update({name: [value] for name, value in optics.items()})
    if picks is not None:
        x, y = zip(*picks, strict=True)
        blocks["particles"].columns.update(
            rlnMicrographName=["m.mrc"] * len(picks),
            rlnCoordinateX=[*map(str, x)],
            rlnCoordinateY=[*map(str, y)],
        )
    write_star(table, StarFile(blocks))
    return table


def test_double_picks_are_counted_in_angstrom(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every second pick is 10 micrograph pixels from the first; a fifth of the box is 8 A."""
    picks = [(1000 * (i // 2) + 10 * (i % 2), 50) for i in range(PARTICLES)]
    check(edited(table, {}, picks), images=False, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["coordinates"]["pixel_size_assumed"] and found["too_close"]["particles"] == 0
    assert any("2.5 Angstrom is assumed" in warning for warning in found["warnings"])
    check(edited(table, {"rlnMicrographPixelSize": "0.5"}, picks), images=False)
    printed = capsys.readouterr().out
    assert "120 particles lie within 8 Angstrom" in printed and "assumed" not in printed
    assert "micrograph pixels of 0.5" in printed


def test_what_is_not_modelled_is_told(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited(table, {"rlnCtfBfactor": "100"}, None)
    check(table, images=False)
    assert "not modelled: B-factors" in capsys.readouterr().out
    check(table, images=False, as_json=True)
    (found,) = json.loads(capsys.readouterr().out)["not_modelled"]
    assert found["columns"] == ["rlnCtfBfactor"]
    assert "0.37 of what is assumed at 5 Angstrom" in found["cost"]


def test_a_run_tells_what_is_not_modelled_before_it_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_particles(tmp_path, constant=list(range(41, 60)))
    edited(table, {"rlnCtfBfactor": "100"}, None)
    with pytest.raises(BadDataError, match="row 42"):
        reconstruct(table, tmp_path / "run")
    assert "warning: not modelled: B-factors" in capsys.readouterr().out
    first = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[0])
    assert first["event"] == "run"
    assert [each["columns"] for each in first["not_modelled"]] == [["rlnCtfBfactor"]]
    page = write_report(tmp_path / "run").read_text()
    assert "Not modelled: B-factors" in page


@pytest.mark.parametrize(
    ("optics", "words"),
    [
        ({"rlnBeamTiltX": "3", "rlnBeamTiltY": "-2"}, "beam tilt 3, -2 mrad"),
        ({"rlnOddZernike": "[0,0,2]"}, "odd aberrations"),
        ({"rlnEvenZernike": "[0,0,2]"}, "even aberrations"),
        ({"rlnMagMat00": "1.05", "rlnMagMat01": "0.02"}, "magnification 1.05 0.02 0 1"),
    ],
)
def test_aberrations_that_are_undone_stand_beside_the_optics(
    table: Path, capsys: pytest.CaptureFixture[str], optics: dict[str, str], words: str
) -> None:
    check(edited(table, optics, None), images=False)
    printed = " ".join(capsys.readouterr().out.split())
    assert words in printed and "not modelled" not in printed


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
