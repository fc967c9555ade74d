"""What cannot be asked of a run is refused before anything is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cryospin.errors import BadDataError, UsageError
from cryospin.run.job import classes_to_search, particles_of_class
from cryospin.run.reconstruct import reconstruct
from options import options_with


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
        ({"classes": 0}, 'classes must be 1 to 50, or "auto", not 0'),
        ({"classes": -2}, "classes must be 1 to 50"),
        ({"classes": 51}, "classes must be 1 to 50"),
        ({"classes": "several"}, "classes must be 1 to 50"),
        ({"classes": 2, "recipe": "common-lines"}, "finds one structure, and 2 classes(.|\n)*fix:"),
        ({"classes": "auto", "recipe": "common-lines"}, "finds one structure(.|\n)*fix:"),
        ({"classes": 2, "initial_map": "map.mrc"}, "starts from nothing(.|\n)*fix:"),
        ({"select_class": 1}, "not the folder of a run with classes(.|\n)*fix:"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        reconstruct("none.star", tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("classes", "particles", "searched"),
    [
        (1, 2, 1),
        (2, 400, 2),
        (50, 10_000, 50),
        ("auto", 100_000, 5),
        ("auto", 700, 3),
        ("auto", 9, 1),
    ],
)
def test_how_many_classes_are_searched_for(
    classes: int | str, particles: int, searched: int
) -> None:
    assert classes_to_search(options_with(classes=classes), particles) == searched


@pytest.mark.parametrize(("classes", "particles", "most"), [(2, 399, 1), (3, 599, 2), (2, 5, 1)])
def test_particles_that_are_too_few(classes: int, particles: int, most: int) -> None:
    with pytest.raises(BadDataError, match=f"{particles} particles are too few for {classes}") as e:
        classes_to_search(options_with(classes=classes), particles)
    assert f"fix: ask for {most} at most (--classes)" in str(e.value)


def test_a_class_of_a_run(tmp_path: Path) -> None:
    described = {"classes": [{"folder": "class_01"}, {"folder": "class_02"}]}
    (tmp_path / "classes.json").write_text(json.dumps(described))
    for folder in ("class_01", "class_02/not_converged"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "particles.star").write_text("a table")
    assert particles_of_class(tmp_path, 1) == tmp_path / "class_01/particles.star"
    assert particles_of_class(tmp_path, 2) == tmp_path / "class_02/not_converged/particles.star"
    for number in (0, 3):
        with pytest.raises(UsageError, match=f"has classes 1 to 2, and no {number}"):
            particles_of_class(tmp_path, number)
