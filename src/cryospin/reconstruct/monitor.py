"""What a run tells while it works: progress, seconds per stage, and a log for machines.

docs/outputs.md lists the events and their fields.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Progress = Callable[[str, int, int], None]
Listener = Callable[[dict[str, Any]], None]
"""Called with each line of the log as it is made."""

Look = Callable[[], Any]
Onlooker = Callable[[str, int, Look], None]
"""Called with what there is to see ("map", (g, g, g); "views", rotations (n, 3, 3)), of which
half-set, and a function that gives the tensor; whether to look, and when, is up to it."""

# in Fourier pixels: to where two half-maps agree, as events name it
_AGREEMENTS = ("agreement_radius", "limit")


class Monitor:
    """Seconds per stage and one JSON line per event; printing is the caller's `progress` and
    `listeners`, and pictures are `onlookers`'."""

    def __init__(
        self,
        progress: Progress | None = None,
        log: Path | None = None,
        listeners: tuple[Listener, ...] = (),
        onlookers: tuple[Onlooker, ...] = (),
    ):
        self._progress = progress or (lambda label, done, total: None)
        self._log = log
        self._listeners, self._onlookers = listeners, onlookers
        self._began = time.perf_counter()
        self._stage = "start"
        self._field_angstrom: float | None = None
        self.seconds: dict[str, float] = {}

    def begin(self, box: int, pixel_size_angstrom: float, **fields: object) -> None:
        """Tell what is reconstructed, first of all; resolutions can be told from then on."""
        self._field_angstrom = box * pixel_size_angstrom
        self.log(event="run", box=box, pixel_size_angstrom=pixel_size_angstrom, **fields)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside under `name`; a stage entered again adds up."""
        before, self._stage, began = self._stage, name, time.perf_counter()
        self.log(event="begin")
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            self.seconds[name] = self.seconds.get(name, 0.0) + spent
            self.log(event="stage", took=round(spent, 3))
            self._stage = before

    def progress(self, label: str, done: int, total: int) -> None:
        self._progress(label, done, total)

    def show(self, kind: str, half: int, look: Look) -> None:
        """Something to be seen, which costs nothing unless somebody looks."""
        for onlooker in self._onlookers:
            onlooker(kind, half, look)

    def log(self, **fields: Any) -> None:
        """One event; where it tells how far half-maps agree, so it does in Angstrom."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "seconds": round(time.perf_counter() - self._began, 3),
            "stage": self._stage,
            **fields,
        }
        for name in _AGREEMENTS:
            if self._field_angstrom is not None and fields.get(name):
                line["resolution_angstrom"] = round(self._field_angstrom / fields[name], 3)
        if self._log is not None:
            with open(self._log, "a") as file:
                file.write(json.dumps(line) + "\n")
        for listener in self._listeners:
            listener(line)
