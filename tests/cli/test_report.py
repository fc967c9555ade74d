"""`cryospin report`: prints where the page is, refuses what is no run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cryospin.cli.report import report


def test_the_page_is_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "result.json").write_text(json.dumps({"verdict": "converged"}))
    report(tmp_path)
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    assert "Converged" in (tmp_path / "report.html").read_text()
