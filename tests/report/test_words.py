"""Numbers in words."""

from __future__ import annotations

import pytest

from cryospin.report.words import (
    evaluation_rows,
    label_and_value,
    number_tiles,
    seconds_in_words,
    verdict_in_words,
)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (8.34, "8.3 s"),
        (78.4, "78 s"),
        (185, "3.1 min"),
        (2520, "42 min"),
        (7800, "2 h 10 min"),
    ],
)
def test_seconds(seconds: float, words: str) -> None:
    assert seconds_in_words(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "not given"),
        (True, "yes"),
        (0.123456, "0.1235"),
        (3, "3"),
        ([1, None], "1, not given"),
    ],
)
def test_settings(value: object, words: str) -> None:
    assert label_and_value("a_b", value) == {"label": "a b", "value": words}


def test_moods() -> None:
    resolution = {"fsc_0.143": 7.04}
    good = verdict_in_words({"verdict": "converged", "resolution_angstrom": resolution})
    assert good["mood"] == "good" and "7.0 Å" in good["sentence"]
    assert "independently" in good["sentence"]
    bad = verdict_in_words({"verdict": "not converged"})
    assert bad["mood"] == "bad" and "Do not interpret" in bad["sentence"]
    assert verdict_in_words({})["mood"] == "plain"


def test_a_common_start_is_told() -> None:
    result = {"verdict": "converged", "settings": {"initial_map": "ribosome.mrc"}}
    sentence = verdict_in_words(result)["sentence"]
    assert "initial map" in sentence
    assert "independently" not in sentence


def test_tiles_leave_out_what_is_unknown() -> None:
    assert [tile["label"] for tile in number_tiles({}, None)] == [
        "resolution at FSC 0.143",
        "resolution at FSC 0.5",
    ]


def test_groups_of_an_evaluation_are_flattened() -> None:
    rows = evaluation_rows({"rotation": {"median_degrees": 1.5}, "list": [1, 2], "n": 3})
    assert rows == [
        {"label": "rotation: median degrees", "value": "1.5"},
        {"label": "n", "value": "3"},
    ]
