"""`cryospin bench` as a user meets it; what it measures is tests/bench's business."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryospin.cli.main import main


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def test_every_sub_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench", "--help") == 0
    heard = capsys.readouterr().out
    assert "paper" in heard and "epochs" in heard


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--recipes", "exhaustiv"], "fix: did you mean exhaustive"),
        (["--parts", "table9"], "no part is called 'table9'"),
        (["--seeds", "one"], "--seeds must be whole numbers"),
        (["--structures", "no_such_model"], "no PDB id"),
    ],
)
def test_usage_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    places = ["--models", tmp_path / "models", "--out", tmp_path / "out"]
    assert run("bench", "paper", *places, "--threads", 1, *options) == 2
    assert words in capsys.readouterr().err


def test_a_recipe_without_epochs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "watched.npz"
    words = ["bench", "epochs", tmp_path / "particles.star", "--out", out, "--threads", 1]
    assert run(*words, "--recipe", "exhaustive") == 2
    assert "does not train in epochs" in capsys.readouterr().err and not out.exists()
