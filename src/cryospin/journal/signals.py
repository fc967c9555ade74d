"""What the operating system, or Slurm, asks of a running reconstruction.

SIGTERM: write a checkpoint and end. SIGUSR1: write one and go on. SIGINT (Ctrl-C) is what it
always is, the end at once, but for other threads: they are waited for, so they hear of it.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from cryospin.errors import InterruptedRunError


class Signals:
    """As a context, in the main thread, it takes these signals; elsewhere none ever comes.

    stopping: the run is to end. asked: when a checkpoint was asked for last (`time.monotonic`).
    """

    def __init__(self) -> None:
        self.stopping, self.asked = False, float("-inf")
        self._patient = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            handlers = {
                signal.SIGTERM: self._stop,
                signal.SIGUSR1: self._save,
                signal.SIGINT: self._interrupt,
            }
            for number, handler in handlers.items():
                self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Inside, SIGTERM waits for whoever has something to keep; a second one does not."""
        self._patient = True
        try:
            yield
        finally:
            self._patient = False
        self.raise_if_stopping()

    def raise_if_stopping(self) -> None:
        if self.stopping:
            raise InterruptedRunError

    def _stop(self, number: int, frame: FrameType | None) -> None:
        again = self.stopping
        self._ask_to_stop()
        if again or not self._patient:
            self.raise_if_stopping()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._ask_to_stop()
        raise KeyboardInterrupt

    def _save(self, number: int, frame: FrameType | None) -> None:
        self.asked = time.monotonic()

    def _ask_to_stop(self) -> None:
        # in this order: other threads look at `stopping` first
        self.asked = time.monotonic()
        self.stopping = True
