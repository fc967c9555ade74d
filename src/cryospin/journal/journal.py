"""Where a computation has got to, so that another process can go on from there.

A run is a function of its input, its settings and its seed; random numbers are drawn by counter
(`particles.draws`). So a journal of named parts is enough: a resumed program runs from the top,
what was found is recalled, and loops go on after the last iteration kept. Any state of a part
is as good as a newer one: what lies between is computed again, to the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from cryospin.journal.checkpoints import Checkpoints
from cryospin.journal.ranks import leads, led
from cryospin.journal.signals import Signals
from cryospin.journal.tree import Tree, is_finite, on_device

_Value = TypeVar("_Value")
# a state is written again after at least so many times what writing it took
_PAUSE = 50.0


class Journal:
    """One part of a run, by name; without `checkpoints` it forgets everything.

    Parts may be worked on by several threads, each its own. every_seconds: between the states
    of a part. device: where the tensors of what is recalled are.
    """

    def __init__(
        self,
        checkpoints: Checkpoints | None = None,
        signals: Signals | None = None,
        *,
        every_seconds: float = 30.0,
        name: str = "",
        device: str = "cpu",
    ):
        self._device = device
        self._checkpoints, self._signals = checkpoints, signals or Signals()
        self._every, self._name = every_seconds, name
        self._wait, self._last = every_seconds, time.monotonic()

    def part(self, name: str) -> Journal:
        """A part of this part."""
        name = f"{self._name}/{name}" if self._name else name
        return Journal(
            self._checkpoints,
            self._signals,
            every_seconds=self._every,
            name=name,
            device=self._device,
        )

    def patience(self) -> AbstractContextManager[None]:
        """Inside, SIGTERM waits for the next `keep` or `may_end`."""
        return self._signals.patience()

    def recalled(self) -> tuple[Tree, ...] | None:
        """What was given to `keep` last; None: begin at the beginning. Ranks that work together
        recall the same."""
        checkpoints = self._checkpoints
        if checkpoints is None:
            return None
        recalled: tuple[Tree, ...] | None = led(
            lambda: checkpoints.newest(self._name, self._device)
        )
        if recalled is None:
            return None
        made_on, *state = recalled
        # what a card left with the CPU stays there; the CPU's own run tells nothing of it
        return on_device(tuple(state), self._device) if made_on == "cpu" else tuple(state)

    def keep(self, *state: Tree | Callable[[], Tree]) -> None:
        """Offer a state; it is written if it is time to, or if a signal asked for it.

        A callable is called for what it makes, if need be. What holds values that are none (a
        training gone wrong) is not written: the last good state stands.

        Raises
        ------
        InterruptedRunError: SIGTERM came; the state is on disk.
        ResourceError: the disk does not take it; the last state is as it was.
        """
        if self._checkpoints is None:
            return
        stopping = self._signals.stopping
        asked = stopping or self._last < self._signals.asked
        if asked or time.monotonic() - self._last >= self._wait:
            self._write(state)
        if stopping:
            self._signals.raise_if_stopping()

    def keep_now(self, *state: Tree | Callable[[], Tree]) -> None:
        """`keep` at the end of a loop: whether it is time or not."""
        if self._checkpoints is not None:
            self._write(state)
            self._signals.raise_if_stopping()

    def may_end(self) -> None:
        """Where there is nothing new to keep.

        Raises
        ------
        InterruptedRunError: SIGTERM came; what was kept last stands.
        """
        if self._checkpoints is not None:
            self._signals.raise_if_stopping()

    def once(self, name: str, compute: Callable[[], _Value]) -> _Value:
        """What `compute` returns (a `Tree`), now or when it was computed before."""
        part = self.part(name)
        recalled = part.recalled()
        if recalled is not None:
            return recalled[0]
        value = compute()
        part.keep_now(value)
        return value

    def _write(self, state: tuple[Tree | Callable[[], Tree], ...]) -> None:
        assert self._checkpoints is not None
        if not leads():
            return  # who leads has the same state
        began = time.monotonic()
        made = tuple(part() if callable(part) else part for part in state)
        if is_finite(made):
            self._checkpoints.write(self._name, (self._device, *made))
        self._last = time.monotonic()
        self._wait = max(self._every, _PAUSE * (self._last - began))


UNRECORDED = Journal()
"""Keeps nothing: for whoever computes without a folder to write to."""
