from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console
from rich.progress import Progress

from cryospin.cli.progress import Display, LiveBars, in_words, progress_display, size_in_words
from cryospin.reconstruct.monitor import Monitor


def run(display: Display) -> None:
    """Events of a reconstruction of 64 pixels of 2 Angstrom."""
    monitor = Monitor(display, listeners=(display.hear,))
    monitor.begin(64, 2.0)
    with monitor.stage("explore"):
        for done in range(1, 11):
            monitor.progress("explore half-set 1", done, 10)
    with monitor.stage("refine"):
        for done, limit in enumerate((8.0, 16.0), 1):
            monitor.progress("refine", done, 2)
            monitor.log(event="round", limit=limit)


def test_the_size_is_said_with_where_it_is_from() -> None:
    told = {"diameter_angstrom": 263.5, "mask_diameter_angstrom": 315.0, "given": False}
    assert size_in_words(told) == (
        "particle: 264 Angstrom across (found), images masked to 315 Angstrom"
    )
    assert "given" in size_in_words(told | {"given": True})
    unknown = {"diameter_angstrom": None, "mask_diameter_angstrom": None, "given": False}
    assert "whole box" in size_in_words(unknown)


def test_a_line_per_step_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display() as progress:
        for done in range(1, 1001):
            progress("images", done, 1000)
    heard = capsys.readouterr()
    assert re.fullmatch(r"images: 1000 in \d\.\d s\n", heard.err) and not heard.out


def test_a_line_per_stage_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display() as progress:
        run(progress)
    lines = [re.sub(r"\d\.\d s", "T", line) for line in capsys.readouterr().err.splitlines()]
    assert lines == ["explore: T", "refine: T, 8.0 Angstrom so far"]


def test_bars_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress_display() as progress:
        run(progress)
        progress("write", 500, 1000)
        progress.hear({"stage": "write", "event": "begin"})
    heard = capsys.readouterr()
    assert "refine: 0.0 s, 8.0 Angstrom so far" in heard.err and not heard.out
    # the bars of finished stages are gone, the one under way is there
    assert "500 of 1000, 8.0 Angstrom so far" in heard.err and "2 of 2" not in heard.err


def test_time_left_is_by_the_steps_own_rate() -> None:
    clock = [0.0]
    with Progress(get_time=lambda: clock[0], console=Console(file=StringIO())) as bars:
        display = LiveBars(bars)
        for done in range(1, 6):
            clock[0] += 20.0
            display("explore", done, 100)
        # 95 iterations of 20 s each
        assert bars.tasks[0].fields["told"] == "5 of 100, 31 min 40 s left"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(8.34, "8.3 s"), (78.4, "78 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")],
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
