"""What a run tells while it works: progress, seconds per stage, and a log for machines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

Progress = Callable[[str, int, int], None]


class Monitor:
    """Seconds per stage and one JSON line per event; printing is the caller's `progress`."""

    def __init__(self, progress: Progress | None = None, log: Path | None = None):
        self._progress = progress or (lambda label, done, total: None)
        self._log = log
        self._began = time.perf_counter()
        self._stage = "start"
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside under `name`; a stage entered again adds up."""
        before, self._stage, began = self._stage, name, time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            self.seconds[name] = self.seconds.get(name, 0.0) + spent
            self.log(event="stage", took=round(spent, 3))
            self._stage = before

    def progress(self, label: str, done: int, total: int) -> None:
        self._progress(label, done, total)

    def log(self, **fields: object) -> None:
        if self._log is None:
            return
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "seconds": round(time.perf_counter() - self._began, 3),
            "stage": self._stage,
            **fields,
        }
        with open(self._log, "a") as file:
            file.write(json.dumps(line) + "\n")
