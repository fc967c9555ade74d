"""Variability on disk. `variability.json` comes last: a folder without it is not finished."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from cryospin.io.atomic import atomic_path, left_unfinished
from cryospin.io.mrc import write_map
from cryospin.io.outputs import Outputs
from cryospin.variability.agreement import REPRODUCIBLE, in_words
from cryospin.variability.analysis import FRAMES, MOST_COMPONENTS, Variability
from cryospin.variability.finished import FinishedRun
from cryospin.version import code_digest, installed_version

RESULT, COORDINATES, MEAN, PAGE = "variability.json", "coordinates.csv", "mean.mrc", "report.html"


def component_file(component: int, what: str = "") -> str:
    """`component_01.mrc`, `component_01_half1.mrc`, `component_01_frame_05.mrc`: counted from 1."""
    return f"component_{component + 1:02d}{what}.mrc"


def frame_file(component: int, frame: int) -> str:
    return component_file(component, f"_frame_{frame + 1:02d}")


VARIABILITY = Outputs(
    (
        RESULT,
        PAGE,
        COORDINATES,
        MEAN,
        *(
            component_file(component, what)
            for component in range(MOST_COMPONENTS)
            for what in ("", "_half1", "_half2")
        ),
        *(
            frame_file(component, frame)
            for component in range(MOST_COMPONENTS)
            for frame in range(FRAMES)
        ),
    )
)
"""What is written into the folder, of as many components as there may be."""


def clear_earlier(folder: Path) -> None:
    """Take away what an earlier analysis left: of more components, or cut off while it wrote.

    The folder must have been claimed as `VARIABILITY`, so these files are ours.
    """
    for name in VARIABILITY.files:
        (folder / name).unlink(missing_ok=True)
        for unfinished in left_unfinished(folder, name):
            unfinished.unlink()


def write_variability(
    found: Variability, run: FinishedRun, folder: Path, settings: dict[str, Any]
) -> dict[str, Any]:
    """Every file but the page, each whole or not at all; returns what variability.json holds.

    Raises
    ------
    ResourceError: the disk does not take one of them; variability.json is then not there.
    """
    clear_earlier(folder)
    mean = found.mean
    write_map(folder / MEAN, found.in_the_box(mean.mean))
    for component in range(len(found)):
        write_map(folder / component_file(component), found.in_the_box(mean.components[component]))
        for number, half in enumerate(found.halves, 1):
            density = found.in_the_box(half.components[component])
            write_map(folder / component_file(component, f"_half{number}"), density)
        for frame, coordinate in enumerate(found.frame_coordinates(component)):
            write_map(folder / frame_file(component, frame), found.frame(component, coordinate))
    write_coordinates(folder / COORDINATES, found, run)
    told = summary(found, run, settings)
    with atomic_path(folder / RESULT) as temporary:
        temporary.write_text(json.dumps(told, indent=1))
    return told


def write_coordinates(path: Path, found: Variability, run: FinishedRun) -> None:
    """A row per particle, in the order of the run's table: image, half-set, z and its deviation
    along each component, and the scale of the image."""
    numbers = range(1, len(found) + 1)
    named = [*(f"z{n}" for n in numbers), *(f"z{n}_deviation" for n in numbers), "scale"]
    header = ["image", "half_set", *named]
    scale = found.scale[:, None]
    values = torch.cat([found.coordinates, found.deviations, scale], dim=1).tolist()
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as output:
        writer = csv.writer(output, lineterminator="\n")
        writer.writerow(header)
        for uid, half, row in zip(run.stack.uids, found.half_set, values, strict=True):
            writer.writerow([uid, int(half), *(f"{value:.5f}" for value in row)])


def summary(found: Variability, run: FinishedRun, settings: dict[str, Any]) -> dict[str, Any]:
    """The contents of variability.json (docs/variability.md)."""
    agreement = found.agreement
    total = float(agreement.variance.sum())
    return {
        "program": "cryospin",
        "version": installed_version(),
        "code": code_digest(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "run_date": run.result.get("date"),
        "reproducible_components": agreement.reproducible,
        "words": in_words(agreement),
        "components": [
            {
                "correlation_of_halves": float(agreement.correlation[j]),
                "reproducible": bool(agreement.correlation[j] >= REPRODUCIBLE),
                "variance": float(agreement.variance[j]),
                "share": float(agreement.variance[j]) / total if total else 0.0,
                "like_the_mean": float(agreement.like_the_mean[j]),
                "fsc": agreement.fsc[j].tolist(),
                "frame_coordinates": found.frame_coordinates(j).tolist(),
            }
            for j in range(len(found))
        ],
        "scale_deviation": float(found.scale.std()),
        "principal_cosines": agreement.principal_cosines.tolist(),
        "particles": len(found.half_set),
        "resolution_angstrom": found.resolution_angstrom,
        "box": found.box,
        "pixel_size_angstrom": found.pixel_size_angstrom,
        "log_evidence": list(found.log_evidence),
        "settings": settings,
    }
