"""What a run at work has told so far: its events, how far its steps are, what is to be seen.

A monitor's listeners and onlookers end here (reconstruct.monitor); the live page is drawn from it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cryospin.report.unfinished import as_result, collect

# of progress, that tell the rate of late
_REMEMBERED = 20


@dataclass
class Step:
    """What is counted within a stage. passed: when how many were done (seconds, count)."""

    label: str
    done: int
    total: int
    passed: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def seconds_left(self) -> float | None:
        """At the rate of late; None where nothing tells."""
        if len(self.passed) < 2 or self.done >= self.total:
            return None
        (began, first), (now, last) = self.passed[0], self.passed[-1]
        if last <= first:
            return None
        return (self.total - last) * (now - began) / (last - first)


class Told:
    """All of it, in the order it came. earlier: lines of the log of a run that is continued."""

    def __init__(self, earlier: Iterable[dict[str, Any]] = ()):
        self.lines: list[dict[str, Any]] = []
        self.steps: dict[str, Step] = {}
        self.open: list[str] = []
        self.sights: dict[tuple[str, int], Any] = {}
        self._result: dict[str, Any] = {"settings": {}, "explore": {}, "refine": []}
        self._began = time.monotonic()
        for line in earlier:
            # spoilt, or of another version: no reason not to continue the run
            with suppress(KeyError, TypeError, ValueError):
                self.hear(line)

    def hear(self, line: dict[str, Any]) -> None:
        """One event of the log."""
        event, stage = line.get("event"), str(line.get("stage", "start"))
        if event == "run":
            # whoever had open stages was stopped
            self.open.clear()
            self.steps.clear()
            self._began = time.monotonic() - float(line.get("seconds", 0.0))
        elif event == "begin":
            self.open.append(stage)
        elif event == "stage":
            if stage in self.open:
                self.open.remove(stage)
            self.steps.clear()
        self.lines.append(line)
        collect(line, self._result)

    def progress(self, label: str, done: int, total: int) -> None:
        """A step of the stage that is open."""
        step = self.steps.setdefault(label, Step(label, done, total))
        step.done, step.total = done, total
        now = time.monotonic()
        # many small steps are told of: the memory is to reach back for seconds
        if not step.passed or now - step.passed[-1][0] > 0.5 or done >= total:
            step.passed.append((now, done))

    def see(self, kind: str, half: int, sight: Any) -> None:
        """What something of a half-set looks like now."""
        self.sights[kind, half] = sight

    def seen(self, kind: str) -> dict[int, Any]:
        """What it looked like last, by half-set."""
        return {half: self.sights[kind, half] for half in (1, 2) if (kind, half) in self.sights}

    def field_angstrom(self) -> float:
        """How wide the box is."""
        return float(self._result.get("box", 1)) * self._result.get("pixel_size_angstrom", 1.0)

    def last(self, event: str) -> dict[str, Any] | None:
        """The newest event of a name."""
        return next((line for line in reversed(self.lines) if line.get("event") == event), None)

    @property
    def stage(self) -> str:
        """That is open, or the last one."""
        if self.open:
            return self.open[-1]
        return str(self.lines[-1].get("stage", "start")) if self.lines else "start"

    def seconds_in_all(self) -> float:
        """Since the run, or what it was continued as, began."""
        return time.monotonic() - self._began

    def result(self) -> dict[str, Any]:
        """The fields of result.json that are known; stages that are open last until now."""
        last = float(self.lines[-1].get("seconds", 0.0)) if self.lines else 0.0
        # a run that is continued, and has not told of itself yet, has no time of its own
        now = {"seconds": max(last, self.seconds_in_all()), "stage": self.stage}
        return as_result(self._result, [*self.lines, now])
