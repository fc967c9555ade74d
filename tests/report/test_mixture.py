"""The page of a run with several classes: structures side by side, and what tells them apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cryospin.report.mixture_pictures import (
    LESS,
    MORE,
    difference_pictures,
    shown_from,
    two_coloured,
)
from cryospin.report.mixture_words import (
    class_evaluation,
    comparison_rows,
    confusion_rows,
    mixture_tiles,
    mixture_verdict,
)
from cryospin.report.page import write_report
from report.test_page import Page

PANELS = {"verdict", "numbers", "structures", "shares", "class-1", "class-2", "class-3"}
PANELS |= {"flow", "differences", "difference-2", "distinct", "confusion", "compared"}
PANELS |= {"particles", "rejected", "time", "settings"}


@pytest.fixture(scope="module")
def text(mixture_page: Path) -> str:
    return mixture_page.read_text()


def test_every_panel_is_there_and_nothing_is_missed(text: str) -> None:
    page = Page(text)
    assert page.ids >= PANELS and not page.open
    # what an ordinary page misses without a map of the whole is not missed here
    assert not page.ids & {"problems", "map", "evidence", "difference-1", "difference-3"}
    surfaces, slices, differences = 3, 9, 3
    assert text.count("<img") == surfaces + slices + differences
    assert text.index("Ambiguous") < text.index("2 of 3 structures can be trusted")
    for words in (
        "11.5 Å",
        "✗ failed",
        "of 4 searched for",
        "93 %",
        "classes 1 and 3",
        "joined",
    ):
        assert words in text
    assert "2 of 152 images were set aside" in text


def test_it_leads_to_each_class_and_needs_nothing_else(text: str) -> None:
    addresses = [each for each in Page(text).addresses if not each.startswith("data:")]
    assert addresses == [f"class_{number:02d}/report.html" for number in (1, 2, 3)]
    assert "default-src 'none'" in text and "<script" not in text
    assert "run of &lt;three&gt; &amp; junk" in text
    assert len(text) < 5_000_000


def test_the_same_run_gives_the_same_page(text: str, mixture_run: Path) -> None:
    assert write_report(mixture_run).read_text() == text


def test_a_broken_map_is_named_and_the_rest_is_shown(mixture_directory: Path) -> None:
    (mixture_directory / "class_01/map.mrc").write_bytes(b"no map")
    (mixture_directory / "class_02_minus_01.mrc").unlink()
    text = write_report(mixture_directory).read_text()
    page = Page(text)
    assert "class_01/map.mrc cannot be shown" in text and "class-1" in page.ids
    assert "differences" not in page.ids
    assert text.count("<img") == 2 + 6


def test_a_single_class_compares_nothing(bare_mixture: Path) -> None:
    told = json.loads((bare_mixture / "result.json").read_text())
    told |= {
        "classes": told["classes"][:1],
        "compared": [],
        "joined": [],
        "confusion_between_halves": [[75]],
    }
    told |= {"verdict": "converged", "junk": {"particles": 0, "fraction": 0.0}}
    (bare_mixture / "result.json").write_text(json.dumps(told))
    text = write_report(bare_mixture).read_text()
    assert "One structure, which two half-sets found independently." in text
    assert not Page(text).ids & {"confusion", "compared", "distinct", "class-2"}
    assert "particles of no class" not in text


def test_classes_named_alone_still_give_a_page(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"classes": [{}, {"folder": "../elsewhere"}]}')
    text = write_report(tmp_path).read_text()
    assert not Page(text).open and "../" not in text


def test_errors_against_the_truth_are_shown(bare_mixture: Path) -> None:
    told = json.loads((bare_mixture / "result.json").read_text())
    each = [
        {
            "class": 1,
            "shows": 2,
            "poses": {"rotation_error_degrees": {"median": 1.234}},
            "map": {"fsc_0.5_angstrom": 9.87},
        },
        {"class": 2, "shows": None, "poses": None, "map": None},
    ]
    scores = {"accuracy": 0.913, "adjusted_rand_index": 0.75, "junk": None, "each": each}
    path = bare_mixture / "evaluation.json"
    path.write_text(json.dumps({"run_date": told["date"], "classes": scores}))
    text = write_report(bare_mixture).read_text()
    for words in ("91.3%", "0.750", "true class 2", "1.23°", "9.9 Å"):
        assert words in text
    path.write_text(json.dumps({"run_date": "another", "classes": scores}))
    text = write_report(bare_mixture).read_text()
    assert "91.3%" not in text and "evaluation.json cannot be shown" in text


@pytest.mark.parametrize(
    ("verdict", "each", "words", "mood"),
    [
        ("converged", ["converged"] * 2, "2 structures, each found", "good"),
        ("converged", ["converged"], "One structure", "good"),
        ("ambiguous", ["converged", "failed"], "1 of 2 structures", "doubt"),
        ("failed", ["failed", "ambiguous"], "Do not interpret these maps", "bad"),
    ],
)
def test_the_verdict_in_words(verdict: str, each: list[str], words: str, mood: str) -> None:
    told = {"verdict": verdict, "classes": [{"verdict": word} for word in each]}
    found = mixture_verdict(told)
    assert words in found["sentence"]
    assert (found["title"], found["mood"]) == (verdict.capitalize(), mood)


def test_tiles_say_how_many_were_searched_for() -> None:
    told = {"classes": [{}, {}], "classes_asked": 2, "junk": {"particles": 1234, "fraction": 0.125}}
    assert mixture_tiles(told) == [
        {"label": "structures", "value": "2"},
        {"label": "particles of no class (12.5 %)", "value": "1,234"},
    ]
    assert mixture_tiles(told | {"classes_asked": 5})[0]["label"] == "structures, of 5 searched for"


def test_confusion_is_by_row() -> None:
    rows = confusion_rows([[3, 1], [0, 0]])
    assert [cell["percent"] for cell in rows[0]] == ["75 %", "25 %"]
    assert [cell["own"] for row in rows for cell in row] == [True, False, False, True]
    assert [cell["percent"] for cell in rows[1]] == ["0 %", "0 %"]
    assert confusion_rows([[7]]) == []


def test_compared_maps_are_named_and_measured() -> None:
    pair = {"kappa": 0.5, "difference": 0.25}
    distinct, same = comparison_rows({"compared": [pair | {"classes": [1, 3]}], "joined": [pair]})
    assert distinct["pair"] == "classes 1 and 3" and distinct["kappa"] == "0.50"
    assert (distinct["words"], same["words"]) == ("two structures", "joined")
    [turned] = comparison_rows({"joined": [pair | {"turned": True}]})
    assert turned["words"] == "one, turned"
    assert comparison_rows({}) == []


def test_a_run_that_was_not_evaluated_by_class_has_no_scores() -> None:
    assert class_evaluation({}) is None and class_evaluation({"classes": None}) is None


def test_a_difference_is_blue_above_and_orange_below() -> None:
    picture = two_coloured(np.array([[0.5, -1.0, 0.0, 3.0]]))
    np.testing.assert_array_equal(picture[0, 0], [*MORE, 0.5])
    np.testing.assert_array_equal(picture[0, 1], [*LESS, 1.0])
    assert picture[0, 2, 3] == 0.0 and picture[0, 3, 3] == 1.0


def test_no_difference_has_no_picture() -> None:
    assert difference_pictures(np.zeros((8, 8, 8), np.float32)) == []


def test_classes_in_one_frame_are_shown_from_the_same_side() -> None:
    place = np.indices((16,) * 3) - 8
    long_y, long_x = (
        np.exp(-(place[0] ** 2 + place[1] ** 2 / a + place[2] ** 2 / b) / 4).astype(np.float32)
        for a, b in ((6, 1), (1, 6))
    )
    own = shown_from([long_y, long_x, None], [False, False, False], "C1")
    shared = shown_from([long_y, long_x, None], [False, True, False], "C1")
    assert own[2] is None and shared[2] is None and own[0] is not None and own[1] is not None
    np.testing.assert_array_equal(shared[1], shared[0])
    assert np.abs(own[0][2] @ own[1][2]) < 0.1, "each by its own long axis"
    imposed = shown_from([long_y, long_x], [False, False], "C3")
    np.testing.assert_array_equal(imposed[1], np.eye(3))
