"""Rows of Table 1, with the run itself left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cryospin.bench import runs
from cryospin.bench.datasets import Dataset
from cryospin.bench.oracle import Oracle, oracle_of
from cryospin.bench.processes import Ended
from cryospin.bench.runs import Method, is_done, measured, succeeded

MAP: dict[str, Any] = {"fsc_0.5_angstrom": 12.0, "fsc": [1.0]}
ORACLE = Oracle(2.0, 1.5, 0.0, 0.1, 0.1, 1.7, MAP)


def row(**changes: object) -> dict[str, Any]:
    plain = {"exit": 0, "median": 1.9, "beyond_10": 0.0, "snr": 0.1, "over_minutes": None}
    return plain | changes


def test_what_counts_as_a_success() -> None:
    assert succeeded(row(), ORACLE)
    assert not succeeded(row(exit=4), ORACLE)
    assert not succeeded(row(median=2.0, beyond_10=0.2), ORACLE)
    assert succeeded(row(median=2.9, beyond_10=0.2, snr=0.03), ORACLE)
    assert succeeded(row(median=20.0, beyond_10=0.12), ORACLE)


@pytest.mark.parametrize(
    ("changes", "limit", "done"),
    [
        ({}, None, True),
        ({"exit": 4}, 1.0, True),
        ({"exit": -9}, None, False),
        ({"exit": None, "over_minutes": 5.0}, 5.0, True),
        ({"exit": None, "over_minutes": 5.0}, 6.0, False),
        ({"exit": None, "over_minutes": 5.0}, None, False),
    ],
)
def test_which_rows_are_not_run_again(
    changes: dict[str, Any], limit: float | None, done: bool
) -> None:
    assert is_done(row(**changes), limit) is done
    assert not is_done(None, limit)


def test_words_of_the_command(dataset: Dataset, tmp_path: Path) -> None:
    words = Method("amortized", 3, 2.0, threads=1).words(dataset, tmp_path)
    assert words[:2] == ["reconstruct", dataset.particles]
    assert words[words.index("--max-shift") + 1] == 10.0  # Angstrom
    assert "--max-shift" not in Method("amortized").words(dataset, tmp_path)


@pytest.mark.parametrize(("code", "over"), [(None, 2.0), (1, None)])
def test_a_run_that_gives_nothing_is_a_row_all_the_same(
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int | None,
    over: float | None,
) -> None:
    monkeypatch.setattr(
        runs, "run_command", lambda *words, limit_seconds: Ended(code, 120.0, 200.0, 10**9, "sorry")
    )
    found = measured(dataset, Method("exhaustive"), ORACLE, tmp_path / "run", 2.0)
    assert (found["exit"], found["over_minutes"]) == (code, over)
    assert found["median"] is None and not found["success"] and found["complaint"] == "sorry"


def test_oracle_of_clear_images(dataset: Dataset, tmp_path: Path) -> None:
    """Few but clear images: poses stay where they are, and a search finds nearly all of them."""
    oracle = oracle_of(dataset, tmp_path / "oracle")
    assert oracle.median_degrees < 4 and oracle.lost_in_search < 0.2
    assert oracle_of(dataset, tmp_path / "oracle") == oracle  # kept, not computed again
