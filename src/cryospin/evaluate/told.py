"""What the folder of a run, or of one of its classes, has to say and to show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryospin.errors import BadDataError
from cryospin.io.mrc import read_map
from cryospin.types import DensityMap


def told_in(directory: Path) -> dict[str, Any]:
    """result.json, or classes.json of a run with several classes; nothing where neither is there.

    Raises BadDataError where it is no JSON.
    """
    for path in (directory / "result.json", directory / "classes.json"):
        if path.is_file():
            try:
                told = json.loads(path.read_text())
            except json.JSONDecodeError as error:
                fix = "run the command again"
                raise BadDataError(f"not JSON: {error}", file=path, fix=fix) from error
            return told if isinstance(told, dict) else {}
    return {}


def map_if_there(path: Path) -> DensityMap | None:
    return read_map(path) if path.is_file() else None


def halves_in(directory: Path) -> tuple[DensityMap, DensityMap] | None:
    """Both half-maps; None where one is missing."""
    first, second = (map_if_there(directory / f"half{half}.mrc") for half in (1, 2))
    return None if first is None or second is None else (first, second)
