"""How far a long step has come: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# elsewhere (a log file, a batch system) each step says so this often
PLAIN_LINES = 4

Progress = Callable[[str, int, int], None]
"""Called with the step's name, what is done and what there is in all."""


@contextmanager
def progress_display() -> Iterator[Progress]:
    """What to call as work goes on; it writes to standard error."""
    if not sys.stderr.isatty():
        yield _plain_lines()
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True)) as bars:
        tasks = {}

        def tell(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done)

        yield tell


def _plain_lines() -> Progress:
    told: dict[str, int] = {}

    def tell(step: str, done: int, total: int) -> None:
        part = PLAIN_LINES * done // max(total, 1)
        if part > told.get(step, 0):
            told[step] = part
            print(f"{step}: {done} of {total}", file=sys.stderr, flush=True)

    return tell
