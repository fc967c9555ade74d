from __future__ import annotations

import pytest

from cryospin.cli.progress import progress_display


def test_a_few_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display() as progress:
        for done in range(1, 1001):
            progress("images", done, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"images: {done} of 1000" for done in (250, 500, 750, 1000)]


def test_a_bar_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress_display() as progress:
        progress("images", 500, 1000)
        progress("images", 1000, 1000)
    heard = capsys.readouterr()
    assert "images" in heard.err and "100%" in heard.err and not heard.out
