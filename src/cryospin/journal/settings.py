"""Whether two runs were asked for the same, in the words of the command line.

This module imports nothing heavy: the command line asks before it computes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryospin.errors import UsageError

# how a run is computed, and where its input was found, change no result; what screening
# decides follows from the input
# `version` is for people: `code` tells what it stands for, also where it is out of date
_WITHOUT_EFFECT = {
    "version",
    "particles",
    "threads",
    "device",
    "computed_on",
    "ranks",
    "batch_size",
    "memory_gb",
    "scratch",
    "allow_bad",
    "screening",
}
START_OVER = "leave out --resume, which starts over"
FILES = {"initial_map"}
"""Settings that name a file."""


def effective(settings: dict[str, Any]) -> dict[str, Any]:
    """Those that change the result."""
    return {name: value for name, value in settings.items() if name not in _WITHOUT_EFFECT}


def refuse_difference(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise UsageError, with the cure, where the run in `folder` is not the one asked for now."""
    if differs := _difference(before, now):
        name, fix = differs
        raise UsageError(f"{folder} is of a run with another {name}\n  fix: {fix}")


def _difference(before: dict[str, Any], now: dict[str, Any]) -> tuple[str, str] | None:
    """What first differs, in words, and what to do about it; None where nothing does."""
    for name in effective(now | before):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if name == "code":
            versions = f"{before.get('version')}, not {now.get('version')}"
            return f"version of cryospin: {versions}", f"go back to that version, or {START_OVER}"
        if " " in name:
            return name, START_OVER
        option = "--" + name.removesuffix("_angstrom").replace("_", "-")
        if name in FILES:
            return option, f"give the same file to {option}, or {START_OVER}"
        again = f"leave out {option}" if old is None else f"{option} {old}"
        return f"{option}: {old}, not {new}", f"{again}, or {START_OVER}"
    return None
