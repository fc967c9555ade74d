"""How far a long step has come: a live bar on a terminal, a line per finished stage elsewhere.

A step is what is counted ("explore half-set 1"); a stage of a reconstruction has some.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


@runtime_checkable
class Display(Protocol):
    """Told of a step's name, what is done and what there is in all; and of a run's events."""

    def __call__(self, step: str, done: int, total: int) -> None: ...

    def hear(self, line: dict[str, Any]) -> None:
        """A line of reconstruct.monitor's log."""


@contextmanager
def progress_display() -> Iterator[Display]:
    """What to call as work goes on; it writes to standard error."""
    if not sys.stderr.isatty():
        yield PlainLines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[told]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield LiveBars(bars)


class PlainLines:
    """One line per finished stage; per finished step where no stage is told of."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._stages = Stages()

    def __call__(self, step: str, done: int, total: int) -> None:
        began = self._began.setdefault(step, time.monotonic())
        if done < total:
            return
        del self._began[step]
        if not self._stages.open:
            spent = time.monotonic() - began
            print(f"{step}: {total} in {spent:.1f} s", file=sys.stderr, flush=True)

    def hear(self, line: dict[str, Any]) -> None:
        if told := self._stages.hear(line):
            print(told, file=sys.stderr, flush=True)


class LiveBars:
    """A row per open stage with the resolution so far, and under it a bar per step with the time
    left; a finished stage moves up as a line."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._rows: dict[str, TaskID] = {}
        self._counts: dict[str, str] = {}
        self._stages = Stages()

    def __call__(self, step: str, done: int, total: int) -> None:
        row = self._row(step, total)
        self._bars.update(row, completed=done, total=total)
        # by the step's own rate of late: later iterations may cost more than the first
        left = next(task.time_remaining for task in self._bars.tasks if task.id == row)
        words = f", {in_words(left)} left" if left else ""
        self._counts[step] = f"{done} of {total}{words}"
        self._tell(step)

    def hear(self, line: dict[str, Any]) -> None:
        told = self._stages.hear(line)
        if told:
            for row in self._rows.values():
                self._bars.remove_task(row)
            self._rows.clear()
            self._counts.clear()
            self._bars.console.print(told, highlight=False)
        for stage in self._stages.open:
            self._tell(stage)

    def _tell(self, name: str) -> None:
        """A stage with one step has one row for both."""
        words = [self._counts[name]] if name in self._counts else []
        if name in self._stages.open:
            words += self._stages.so_far()
        self._bars.update(self._row(name, None), told=", ".join(words))

    def _row(self, name: str, total: int | None) -> TaskID:
        if name not in self._rows:
            self._rows[name] = self._bars.add_task(name, total=total, told="")
        return self._rows[name]


class Stages:
    """Which stages are open, and the resolution reached so far, from a run's events."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self._resolution_angstrom: float | None = None

    def hear(self, line: dict[str, Any]) -> str | None:
        """The line to say where a stage has ended."""
        self._resolution_angstrom = line.get("resolution_angstrom", self._resolution_angstrom)
        if line.get("event") == "run":  # another one, perhaps, of the same process
            self._resolution_angstrom = None
            self.open.clear()
        if line.get("event") == "begin":
            self.open.append(line["stage"])
        if line.get("event") == "particle size":
            return size_in_words(line)
        if line.get("event") != "stage":
            return None
        if line["stage"] in self.open:
            self.open.remove(line["stage"])
        return ", ".join([f"{line['stage']}: {in_words(line['took'])}", *self.so_far()])

    def so_far(self) -> list[str]:
        if self._resolution_angstrom is None:
            return []
        return [f"{self._resolution_angstrom:.1f} Angstrom so far"]


def size_in_words(size: dict[str, Any]) -> str:
    """`particle: 264 Angstrom across (found), images masked to 315 Angstrom`."""
    if size["diameter_angstrom"] is None:
        return "particle: the images do not tell its diameter, the whole box is used"
    how = "given" if size["given"] else "found"
    mask = size["mask_diameter_angstrom"]
    return (
        f"particle: {size['diameter_angstrom']:.0f} Angstrom across ({how}),"
        f" images masked to {mask:.0f} Angstrom"
    )


def in_words(seconds: float) -> str:
    """`8.3 s`, `78 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
