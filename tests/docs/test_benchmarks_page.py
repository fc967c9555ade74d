"""docs/benchmarks.md is what its command makes of the results file."""

from __future__ import annotations

import runpy
from typing import Any

from markdown_blocks import ROOT

RESULTS = ROOT / "benchmarks" / "results.jsonl"
PROGRAM = runpy.run_path(str(ROOT / "benchmarks" / "page.py"))


def test_the_page_is_up_to_date() -> None:
    made = PROGRAM["page"](PROGRAM["read_rows"](RESULTS))
    assert (ROOT / "docs" / "benchmarks.md").read_text() == made


def row(seed: int, **changes: Any) -> dict[str, Any]:
    plain = {
        "structure": "6vxx", "seed": seed, "particles": 5000, "box": 64, "snr": 0.1,
        "max_shift_pixel": 3.0, "recipe": "exhaustive", "machine": "an abacus", "exit": 0,
        "seconds": 40.0, "peak_gb": 1.0, "median": 2.0, "fsc_0.5_angstrom": 11.0,
        "success": True, "date": "2026-11-21", "version": "1.0",
        "oracle": {"median": 1.6, "lost_in_search": 0.0, "fsc_0.5_angstrom": 10.0},
    }  # fmt: skip
    return plain | changes


def line_of(page: str) -> list[str]:
    (line,) = (line for line in page.splitlines() if "an abacus" in line)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_is_the_median_of_its_runs() -> None:
    failed = row(3, exit=4, median=None, success=False, seconds=90.0)
    made = PROGRAM["page"]([row(1), row(2, median=3.2), failed])
    assert line_of(made) == [
        "5,000 x 64", "0.1", "an abacus", "3", "2 of 3", "2.60", "1.62", "1.10", "40", "1.0", "1.0"
    ]  # fmt: skip
    assert "\\*" not in made


def test_runs_of_an_unknown_version_are_marked() -> None:
    made = PROGRAM["page"]([row(1, version=None, success=None, oracle=None)])
    cells = line_of(made)
    assert cells[4] == "1 of 1 converged" and cells[6] == "–" and cells[-1] == "2026-11-21 \\*"
    assert "earlier version" in made


def test_the_last_row_of_a_run_counts(tmp_path: Any) -> None:
    import json

    file = tmp_path / "results.jsonl"
    file.write_text("".join(json.dumps(row(1, seconds=s)) + "\n" for s in (40.0, 30.0)))
    assert [r["seconds"] for r in PROGRAM["read_rows"](file)] == [30.0]
