"""results.jsonl: one line per finished run, so that an interrupted benchmark goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryospin.errors import BadDataError

Row = dict[str, Any]


@dataclass(frozen=True)
class Ledger:
    """Rows on disk, each with a `key` of its own; of several with one key the last counts."""

    path: Path

    def rows(self) -> dict[str, Row]:
        """Raises BadDataError for a line that is no row, but for a last one cut off."""
        found: dict[str, Row] = {}
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                found[row["key"]] = row
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                if number == len(lines):
                    break
                raise BadDataError(
                    "not a row of a benchmark", file=self.path, row=number, fix="remove the line"
                ) from error
        return found

    def append(self, row: Row) -> None:
        whole = not self.path.exists() or self.path.read_bytes()[-1:] in (b"", b"\n")
        with open(self.path, "a") as file:
            file.write(("" if whole else "\n") + json.dumps(row) + "\n")
