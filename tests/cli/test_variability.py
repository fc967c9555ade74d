"""`cryospin variability` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cryospin.cli.main import main
from variability_toys import LinearPhantom, drawn_coordinates, write_run


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("finished")
    return write_run(place, LinearPhantom.of(1), drawn_coordinates(160, 1, seed=2), signal=100.0)


def test_it_prints_a_row_per_component_and_the_page(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--components", 2, "--iterations", 8, "--threads", 1)
    assert run("variability", folder, *options) == 0
    said = capsys.readouterr()
    assert "1 of 2 components were found in both half-sets" in said.out
    assert str(folder / "variability" / "report.html") in said.out
    assert "components of half-set 2: 8 in" in said.err


def test_json_is_the_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--components", 1, "--iterations", 1, "--threads", 1, "--json", "--out", tmp_path)
    assert run("variability", folder, *options) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "variability.json").read_text())
    assert told["settings"]["iterations"] == 1
