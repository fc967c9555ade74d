"""The page of a run at work as a whole: every panel that something is known for, text escaped."""

from __future__ import annotations

from pathlib import Path

from cryospin.report.layout import rendered
from cryospin.report.live_content import live_charts, live_content
from cryospin.report.told import Told
from report.live_runs import BEGUN, REFINING, round_line
from report.test_page import Page

PANELS = {"verdict", "numbers", "phases", "events", "command", "time", "settings"}


def page_of(told: Told, folder: Path, ended: str | None = None) -> str:
    content = live_content(folder, told, {"in use": 1}, ended)
    return rendered("live.html.j2", content | {"written": "2026-01-02T03:04:05Z", "wait": 2.0})


def test_a_run_that_has_just_begun_has_a_useful_page(tmp_path: Path) -> None:
    page = Page(page_of(Told(BEGUN), tmp_path))
    assert page.ids >= PANELS and not page.open
    assert not page.ids & {"evidence", "fsc"}


def test_nothing_told_at_all_is_still_a_page(tmp_path: Path) -> None:
    assert Page(page_of(Told(), tmp_path)).ids >= {"verdict", "numbers", "phases"}


def test_evidence_comes_as_it_is_told(tmp_path: Path) -> None:
    told = Told(REFINING)
    told.progress("refine", 3, 12)
    text = page_of(told, tmp_path)
    page = Page(text)
    assert page.ids >= PANELS | {"evidence", "fsc", "turns", "confidence", "rejected"}
    assert "3 of 12" in text and "7 of 3,007 images were set aside" in text
    assert text.count('class="earlier"') == 2 and "0.67°" in text


def test_rounds_of_a_log_without_curves_still_tell_their_turns() -> None:
    newer = ("fsc", "mean_confidence")
    bare = [{name: line[name] for name in line if name not in newer} for line in REFINING]
    assert [chart["id"] for chart in live_charts(Told(bare))] == ["turns"]


def test_text_of_the_run_is_escaped_and_the_page_needs_no_network(tmp_path: Path) -> None:
    text = page_of(Told(REFINING), tmp_path, "stopped by <b>")
    assert "a &lt;b&gt;.star" in text and "stopped by &lt;b&gt;" in text and "<b>.star" not in text
    assert all(address.startswith("data:") for address in Page(text).addresses)
    assert "default-src 'none'" in text


def test_rounds_beyond_the_usual_number_have_room(tmp_path: Path) -> None:
    """With symmetry found on the way there are rounds before and after."""
    text = page_of(Told([*REFINING, *(round_line(number) for number in range(4, 21))]), tmp_path)
    assert text.count('class="earlier"') == 19 and ">19</text>" in text
