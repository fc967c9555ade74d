"""The page of a run at work appears at once, is kept up to date, and never ends the run."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cryospin.errors import BadDataError, InterruptedRunError
from cryospin.io.outputs import Outputs, begin_outputs
from cryospin.io.record import is_ours
from cryospin.report.live import LivePage, why_in_words
from report.live_runs import BEGUN, REFINING, line


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cryospin.report.live._LEAST_SECONDS", 0.02)


def until(found: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not found():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_page_is_there_at_once_and_follows(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    with LivePage(tmp_path) as live:
        assert "Starting" in page.read_text()
        for event in REFINING:
            live.hear(event)
        live.progress("refine", 3, 12)
        until(lambda: "3 of 12" in page.read_text())
        assert "agree to 12.4 Å so far" in page.read_text()
    assert list(tmp_path.iterdir()) == [page]


def test_it_is_whole_whenever_it_is_read(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    with LivePage(tmp_path):
        seen = set()
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            text = page.read_text()
            seen.add(text)
            assert text.endswith("</html>")
    assert len(seen) > 1


def test_each_page_is_one_that_cryospin_made(tmp_path: Path) -> None:
    """Whenever a run is killed, the next one may write over its page."""
    begin_outputs(tmp_path, Outputs(("report.html",)))
    with LivePage(tmp_path) as live:
        for event in BEGUN:
            live.hear(event)
            time.sleep(0.05)
            live._write()
            assert is_ours(tmp_path / "report.html")


def test_at_the_end_it_leaves_its_place_to_the_report(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    with LivePage(tmp_path) as live:
        live.end()
        page.write_text("the report")
        time.sleep(0.1)
    assert page.read_text() == "the report"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyboardInterrupt(), "It was interrupted."),
        (InterruptedRunError(), "It was interrupted."),
        (BadDataError("no particle is left"), "BadDataError: no particle is left"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_a_run_that_stops_says_why(tmp_path: Path, error: BaseException, words: str) -> None:
    with pytest.raises(type(error)), LivePage(tmp_path):
        raise error
    text = (tmp_path / "report.html").read_text()
    assert "Stopped" in text and words in text and "--resume" in text
    assert why_in_words(error).startswith(words)


def test_a_page_that_cannot_be_written_does_not_end_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with LivePage(folder) as live:
        shutil.rmtree(folder)
        live._write()
        folder.mkdir()
        until(lambda: (folder / "report.html").exists())


def test_a_continued_run_shows_what_it_knew(tmp_path: Path) -> None:
    with LivePage(tmp_path, dict, REFINING):
        assert "agree to 12.4 Å so far" in (tmp_path / "report.html").read_text()


def test_it_takes_little_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page costs sets the wait before the next."""
    live = LivePage(tmp_path)
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) > 3

    def busy() -> None:
        until = time.thread_time() + 0.03
        while time.thread_time() < until:
            pass

    monkeypatch.setattr(live._ended, "wait", wait)
    monkeypatch.setattr(live, "_write", busy)
    live._keep()
    assert waits[0] < 1 and all(each >= 6 for each in waits[1:])
    # a slow disk holds nobody up, but is not kept busy
    waits.clear()
    monkeypatch.setattr(live, "_write", lambda: time.sleep(0.1))
    live._keep()
    assert all(each >= 0.4 for each in waits[1:])


def test_what_it_took_is_known(tmp_path: Path) -> None:
    with LivePage(tmp_path) as live:
        until(lambda: live.pages > 2)
        live.see("map", 1, lambda: torch.ones(16, 16, 16))
    assert 0 < live.seconds < 5


def test_it_looks_at_what_there_is_to_see_now_and_then(tmp_path: Path) -> None:
    looks: list[int] = []

    def look() -> torch.Tensor:
        looks.append(1)
        time.sleep(0.01)
        density = torch.zeros(32, 32, 32)
        density[12:20, 12:20, 12:20] = 1.0
        return density

    live = LivePage(tmp_path, dict, REFINING)
    for _ in range(50):
        live.see("map", 1, look)
    assert len(looks) == 1, "two hundred times as long as it took is waited"
    live.see("map", 2, look)
    live.see("views", 1, lambda: torch.eye(3).expand(100, 3, 3))
    live._write()
    text = (tmp_path / "report.html").read_text()
    assert text.count("central slices") == 2 and "half-set 1: 1 % of the sphere seen" in text
    assert len(text) < 400_000


def test_what_cannot_be_shown_does_not_end_the_run(tmp_path: Path) -> None:
    live = LivePage(tmp_path, dict, REFINING)
    live.see("map", 1, lambda: torch.full((32, 32, 32), torch.nan))
    live.see("map", 2, lambda: torch.zeros(32, 32, 32))
    live._write()
    text = (tmp_path / "report.html").read_text()
    assert "half-set 1: central slices" not in text and "half-set 2: central slices" in text


def test_classes_are_shown_as_they_form(tmp_path: Path) -> None:
    live = LivePage(tmp_path)
    for half, fractions in ((1, [0.5, 0.5]), (2, [0.9, 0.1]), (1, [0.25, 0.65])):
        live.hear(line("fractions", 50.0, "refine classes", half=half, fractions=fractions))
    live._write()
    text = (tmp_path / "report.html").read_text()
    assert text.count("class 1: 50 %") == text.count("class 1: 25 %") == 1  # both of its rounds
    assert "</i>class 1 <b>25 %" in text and "</i>class 1 <b>90 %" in text
    assert text.count("</i>none <b>10 %") == 1


def test_memory_is_asked_for_each_time(tmp_path: Path) -> None:
    with LivePage(tmp_path, lambda: {"in use": 1_500_000_000}):
        assert "1.5 GB" in (tmp_path / "report.html").read_text()
    assert os.listdir(tmp_path) == ["report.html"]
