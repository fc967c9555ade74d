"""What cannot be asked of a run is refused before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cryospin.errors import UsageError
from cryospin.run.reconstruct import reconstruct


@pytest.mark.parametrize("value", [-1.0, float("nan")])
@pytest.mark.parametrize(
    "name",
    [
        "particle_diameter_angstrom",
        "max_resolution_angstrom",
        "max_shift_angstrom",
        "initial_lowpass_angstrom",
    ],
)
def test_a_length_that_is_none(tmp_path: Path, name: str, value: float) -> None:
    asked: dict[str, Any] = {name: value}
    with pytest.raises(UsageError, match=f"{name} must be at least .*, not {value}"):
        reconstruct("none.star", tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"invert_contrast": "maybe"}, "one of auto, yes, no, not maybe"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"recipe": "magic"}, "magic"),
        ({"symmetry": "Q7"}, "Q7"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        reconstruct("none.star", tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()
