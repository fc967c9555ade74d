"""The page of a run with several classes: its structures side by side, and what tells them apart.

Every class's folder has a page of its own with the evidence for its map; this one leads there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cryospin.errors import BadDataError
from cryospin.io.run_folder import EVALUATION, LOG, NOT_CONVERGED
from cryospin.report.class_flow import class_flow, pieces
from cryospin.report.inputs import read_arrays, read_evaluation, read_volume
from cryospin.report.layout import layout_content
from cryospin.report.mixture_pictures import class_pictures, difference_pictures, shown_from
from cryospin.report.mixture_words import (
    MARKS,
    class_evaluation,
    comparison_rows,
    confusion_rows,
    mixture_tiles,
    mixture_verdict,
)
from cryospin.report.pictures import rejected_pictures
from cryospin.report.unfinished import read_lines
from cryospin.report.words import angstrom, screening_in_words


def mixture_content(directory: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Everything mixture.html.j2 shows."""
    problems: list[str] = []

    def optional(name: str, read: Callable[[Path], Any]) -> Any:
        """What a file holds; None where it is absent, or else cannot be shown."""
        if not (directory / name).exists():
            return None
        try:
            return read(directory / name)
        except (BadDataError, ValueError) as error:
            problems.append(f"{name} cannot be shown: {error}")
            return None

    entries, log = result["classes"], directory / LOG
    folders = [Path(str(entry.get("folder", ""))).name for entry in entries]
    maps = [
        optional(f"{folder}/map.mrc", read_volume)
        if (directory / folder / "map.mrc").exists()
        else optional(f"{folder}/{NOT_CONVERGED}/map.mrc", read_volume)
        for folder in folders
    ]
    differences = [optional(f"{folder}_minus_01.mrc", read_volume) for folder in folders]
    evaluation = optional(EVALUATION, lambda path: read_evaluation(path, result))
    screening = result.get("settings", {}).get("screening")
    views = shown_from(maps, [each is not None for each in differences], _symmetry(result))
    return layout_content(directory, result) | {
        "verdict": mixture_verdict(result),
        "tiles": mixture_tiles(result),
        "shares": pieces([float(entry.get("fraction", 0.0)) for entry in entries]),
        "flow": class_flow(read_lines(log), by_size=True) if log.exists() else [],
        "classes": [
            class_card(number, folder, entry, density, view)
            for number, (folder, entry, density, view) in enumerate(
                zip(folders, entries, maps, views, strict=True), 1
            )
        ],
        "differences": [
            {"name": f"{folder}_minus_01.mrc", "number": number, "pictures": pictures}
            for number, (folder, difference) in enumerate(zip(folders, differences, strict=True), 1)
            if difference is not None and (pictures := difference_pictures(difference))
        ],
        "confusion": confusion_rows(result.get("confusion_between_halves", [])),
        "compared": comparison_rows(result),
        "evaluation": class_evaluation(evaluation or {}),
        "screening": screening_in_words(screening, result.get("particles")) if screening else None,
        "rejected": rejected_pictures(optional("rejected.npz", read_arrays)),
        "problems": problems,
    }


def class_card(
    number: int,
    folder: str,
    entry: dict[str, Any],
    density: np.ndarray | None,
    view: np.ndarray | None,
) -> dict[str, Any]:
    """What is shown of one class; without a map there are no pictures."""
    resolution = entry.get("resolution_angstrom") or {}
    mark, mood = MARKS.get(str(entry.get("verdict")), (str(entry.get("verdict")), "plain"))
    return {
        "number": number,
        "link": f"{folder}/report.html",
        "mark": mark,
        "mood": mood,
        "particles": f"{entry.get('particles', 0):,}",
        "percent": f"{100 * entry.get('fraction', 0.0):.0f} %",
        "resolution": angstrom(resolution.get("fsc_0.143")),
        "reasons": entry.get("reasons", []),
        "pictures": None if density is None else class_pictures(density, view),
    }


def _symmetry(result: dict[str, Any]) -> str:
    """That was imposed on all classes, as far as it was given."""
    return str(result.get("settings", {}).get("symmetry", "C1"))
