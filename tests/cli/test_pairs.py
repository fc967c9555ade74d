"""`cryospin pairs train`: a file of weights, the same for the same seed; complaints."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryospin.cli.main import main
from cryospin.pairs.weights import load_network


def test_weights_are_written_and_the_state_is_gone(tmp_path: Path) -> None:
    out = tmp_path / "weights.safetensors"
    with pytest.raises(SystemExit) as stop:
        main(["pairs", "train", "--out", str(out), "--steps", "2", "--made-up", "1"])
    assert stop.value.code == 0
    assert load_network(out).shape.tilts == 6
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--made-up", "0"], "nothing to learn from"),
        (["--models", "none"], "no such folder"),
        (["--snr", "3"], "two numbers"),
    ],
)
def test_nothing_to_learn_from(
    arguments: list[str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["pairs", "train", "--out", str(tmp_path / "w.safetensors"), *arguments])
    assert stop.value.code == 2
    assert word in capsys.readouterr().err
