"""A run's numbers as TensorBoard scalars, for who watches many runs at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from cryospin.errors import UsageError

# of the log's fields, those worth a curve
_CURVES = ("resolution_angstrom", "agreement_radius", "limit", "radius", "median_turn_degrees")


@runtime_checkable
class ScalarWriter(Protocol):
    def add_scalar(self, tag: str, value: float, step: int, walltime: float) -> None: ...

    def flush(self) -> None: ...


class ScalarListener:
    """Hears a monitor's events and writes `event/field`, `seconds/stage`, `scores/half`."""

    def __init__(self, writer: ScalarWriter):
        self._writer = writer
        self._steps: Counter[str] = Counter()

    def __call__(self, line: dict[str, Any]) -> None:
        event = line.get("event")
        found = [(f"{event}/{name}", line[name]) for name in _CURVES if line.get(name) is not None]
        if event == "stage":
            found.append((f"seconds/{line['stage']}", line["took"]))
        if event == "explored":
            found += [(f"scores/half{line['half']}", score) for score in line["scores"]]
        when = datetime.fromisoformat(line["time"]).timestamp()
        for tag, value in found:
            self._writer.add_scalar(tag, value, self._steps[tag], when)
            self._steps[tag] += 1
        if found:
            # a run that is watched is watched now
            self._writer.flush()


def tensorboard_listener(directory: Path, earlier: Iterable[dict[str, Any]] = ()) -> ScalarListener:
    """What a monitor calls to write scalars into `directory`, after those of `earlier` events.

    Raises
    ------
    UsageError: the tensorboard package is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "TensorBoard is not installed\n  fix: pip install tensorboard, or leave out "
            "--tensorboard (log.jsonl holds the same numbers)"
        ) from None
    # what an earlier run wrote there is not to be mixed with this one's
    listener = ScalarListener(SummaryWriter(str(directory), purge_step=0))
    for line in earlier:
        listener(line)
    return listener
