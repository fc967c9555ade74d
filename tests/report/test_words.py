"""Numbers in words."""

from __future__ import annotations

import pytest

from cryospin.report.words import (
    evaluation_tiles,
    evidence_rows,
    label_and_value,
    not_modelled_in_words,
    number_tiles,
    screening_in_words,
    seconds_in_words,
    verdict_in_words,
)
from report.conftest import evidence


def test_what_was_not_modelled() -> None:
    found = [{"what": "beam tilt", "columns": ["ctf/tilt_A"], "cost": "phases are off"}]
    words = "Not modelled: beam tilt (ctf/tilt_A); phases are off."
    assert not_modelled_in_words(found) == [words]


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
    assert verdict_in_words({"verdict": "failed"})["mood"] == "bad"
    doubt = verdict_in_words({"verdict": "ambiguous", "resolution_angstrom": {"fsc_0.143": None}})
    assert (doubt["title"], doubt["mood"]) == ("Ambiguous", "doubt")
    assert "no resolution" not in doubt["sentence"]


def test_evidence_says_what_failing_means_only_where_it_fails() -> None:
    rows = evidence_rows(
        [
            evidence("a", 19.25, 10.5, True, "failed"),
            evidence("b", 0.1, 0.2, False, "ambiguous"),
            evidence("c", 3, 5, False, "failed"),
            evidence("d", 0.9, None, True, "warning"),
        ]
    )
    assert [row["mark"] for row in rows] == ["✓ passed", "? doubtful", "✗ failed", "–"]
    assert [row["mood"] for row in rows] == ["good", "doubt", "bad", "plain"]
    assert [row["value"] for row in rows] == ["19.2", "0.1", "3", "0.9"]
    assert [row["limit"] for row in rows] == ["10.5", "0.2", "5", ""]
    assert [bool(row["words"]) for row in rows] == [False, True, True, True]


def test_images_set_aside() -> None:
    told = screening_in_words({"rejected": 3, "rejected_by_reason": {"dust": 3, "NaN": 0}}, 997)
    assert told["sentence"] == "3 of 1,000 images were set aside before anything else."
    assert told["rows"] == [{"label": "dust", "value": "3"}]
    none = screening_in_words({"rejected": 0, "contrast_inverted": True}, None)
    assert (
        none["sentence"] == "No image was set aside. The contrast was inverted: protein was dark."
    )


def test_a_common_start_is_told() -> None:
    result = {"verdict": "converged", "settings": {"initial_map": "ribosome.mrc"}}
    sentence = verdict_in_words(result)["sentence"]
    assert "initial map" in sentence
    assert "independently" not in sentence


def test_tiles_leave_out_what_is_unknown() -> None:
    assert [tile["label"] for tile in number_tiles({})] == [
        "resolution at FSC 0.143",
        "resolution at FSC 0.5",
    ]


def test_an_evaluation_with_and_without_a_true_map() -> None:
    poses = {
        "rotation_error_degrees": {"median": 1.234, "percent_beyond_10": 0.52},
        "shift_error": {"rms_pixel": 0.1},
        "hand_flipped": True,
        "map": None,
    }
    values = [tile["value"] for tile in evaluation_tiles(poses)]
    assert values == ["1.23°", "0.5 %", "0.10 px", "mirrored"]
    with_map = {**poses, "map": {"fsc_0.5_angstrom": 9.04, "correlation": 0.99}}
    assert "9.0 Å" in [tile["value"] for tile in evaluation_tiles(with_map)]
