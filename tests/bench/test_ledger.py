"""results.jsonl survives an interruption, and says so when it is not what it should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryospin.bench.ledger import Ledger
from cryospin.errors import BadDataError


def test_rows_come_back_and_the_last_of_a_key_counts(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "results.jsonl")
    assert ledger.rows() == {}
    for key, value in (("a", 1), ("b", 2), ("a", 3)):
        ledger.append({"key": key, "value": value})
    assert {key: row["value"] for key, row in ledger.rows().items()} == {"a": 3, "b": 2}


def test_a_line_cut_off_is_left_out(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "results.jsonl")
    ledger.append({"key": "a"})
    with open(ledger.path, "a") as file:
        file.write('{"key": "b", "val')
    assert set(ledger.rows()) == {"a"}


def test_other_files_are_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "results.jsonl")
    ledger.path.write_text('{"event": "start"}\n{"key": "a"}\n')
    with pytest.raises(BadDataError, match="row 1"):
        ledger.rows()
