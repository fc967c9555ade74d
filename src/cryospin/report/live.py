"""report.html while the run is at work: written anew every few seconds, whole each time.

A thread of its own does it, so that a slow disk holds nobody up; it draws no random number and
computes on one thread, and what it costs sets how often it writes. An open page loads the file
once more, hidden, and takes over what has changed (live.js): that needs no server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from cryospin.errors import CryospinError, InterruptedRunError
from cryospin.io.atomic import atomic_path
from cryospin.io.run_folder import PAGE
from cryospin.report.globe import direction_counts
from cryospin.report.live_scene import small_volume
from cryospin.report.told import Told

_LEAST_SECONDS, _MOST_SECONDS = 2.0, 15.0
# of the time, that writing may take at most, and each kind of looking; of a processor's, and
# of the disk's, that is waited for
_SHARE, _DISK_SHARE = 0.005, 0.25
# of the run's length, between two pages: a long run does not fill its record with them
_PACE = 0.002


class LivePage:
    """As a context: the page is there, and up to date, while the block runs.

    memory: what is in use now, in bytes, by name. earlier: the log of a run that is continued.
    pages, seconds: how many were written, and of computing what they and looking took.
    Its methods are what a monitor calls, from any thread.
    """

    def __init__(
        self,
        folder: Path,
        memory: Callable[[], dict[str, int]] = dict,
        earlier: Iterable[dict[str, Any]] = (),
    ):
        self._folder, self._memory = folder, memory
        self._told, self._lock = Told(earlier), threading.Lock()
        self._ended = threading.Event()
        self._wait = _LEAST_SECONDS
        self.pages, self.seconds = 0, 0.0
        self._next_look: dict[tuple[str, int], float] = {}
        self._thread = threading.Thread(target=self._keep, name="live page", daemon=True)

    def hear(self, line: dict[str, Any]) -> None:
        """A line of the log."""
        with self._lock:
            self._told.hear(line)

    def progress(self, label: str, done: int, total: int) -> None:
        """How far a step is."""
        with self._lock:
            self._told.progress(label, done, total)

    def see(self, kind: str, half: int, look: Callable[[], Any]) -> None:
        """A map of a half-set, or the rotations of its particles: looked at now and then."""
        if time.monotonic() < self._next_look.get((kind, half), 0.0):
            return
        began = time.monotonic()
        seen = look().detach().cpu().numpy()
        if not np.isfinite(seen).all():
            return  # it is for the run to say so
        with self._lock:
            field = self._told.field_angstrom()
        if kind == "map":
            sight: Any = small_volume(seen, field)
        else:
            sight = direction_counts(seen[:, 2])
        with self._lock:
            now = time.monotonic()
            self._told.see(kind, half, sight)
            self.seconds += now - began
        self._next_look[kind, half] = now + max(_LEAST_SECONDS, (now - began) / _SHARE)

    def __enter__(self) -> LivePage:
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ended.is_set():
            return
        self.end()
        if error is not None:
            self._write(why_in_words(error))

    def end(self) -> None:
        """Write no more: the report of the run takes the page's place."""
        self._ended.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._ended.wait(self._wait):
            cost, began = time.thread_time(), time.perf_counter()
            self._write()
            cost, waited = time.thread_time() - cost, time.perf_counter() - began
            pace = min(_PACE * self._told.seconds_in_all(), _MOST_SECONDS)
            with self._lock:
                self.seconds += cost
            self._wait = max(_LEAST_SECONDS, pace, cost / _SHARE, waited / _DISK_SHARE)

    def _write(self, ended: str | None = None) -> None:
        """A page that cannot be written is no reason to end a run."""
        # what draws is imported when there is something to draw
        from cryospin.report.layout import rendered
        from cryospin.report.live_content import live_content

        with self._lock:
            content = live_content(self._folder, self._told, self._memory(), ended)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        page = rendered("live.html.j2", content | {"written": now, "wait": round(self._wait, 1)})
        with suppress(CryospinError, OSError), atomic_path(self._folder / PAGE) as temporary:
            temporary.write_text(page, encoding="utf-8")
            self.pages += 1


def why_in_words(error: BaseException) -> str:
    """Why a run has stopped, for its page."""
    if isinstance(error, KeyboardInterrupt | InterruptedRunError):
        why = "It was interrupted."
    else:
        why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"{why} The same command with --resume goes on from its last checkpoint."
