"""`cryospin report`: prints where the page is, refuses what is no run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cryospin.cli.main import main
from cryospin.cli.report import report
from cryospin.io.lock import LOCK, sole_use


def test_the_page_is_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "result.json").write_text(json.dumps({"verdict": "converged"}))
    report(tmp_path)
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    assert "Converged" in (tmp_path / "report.html").read_text()


def test_the_page_of_a_run_at_work_is_left_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.jsonl").write_text('{"event": "begin", "stage": "explore"}\n')
    with sole_use(tmp_path, tmp_path / LOCK):
        (tmp_path / "report.html").write_text("its own")
        report(tmp_path)
        assert (tmp_path / "report.html").read_text() == "its own"
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")


def test_a_run_at_work_that_keeps_no_page_gets_one(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"event": "begin", "stage": "explore"}\n')
    with sole_use(tmp_path, tmp_path / LOCK):
        report(tmp_path)
    assert "Interrupted" in (tmp_path / "report.html").read_text()


def test_two_runs_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        Path(name).mkdir()
        Path(name, "result.json").write_text(json.dumps({"verdict": "failed"}))
    with pytest.raises(SystemExit) as stop:
        main(["report", "a", "b"])
    assert not stop.value.code
    assert capsys.readouterr().out.strip() == "comparison.html"
    assert "Two runs compared" in Path("comparison.html").read_text()
    assert [path.name for path in Path("a").iterdir()] == ["result.json"]
