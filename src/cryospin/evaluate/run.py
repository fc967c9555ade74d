"""A run's folder against the truth: what `cryospin evaluate` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cryospin.errors import BadDataError, UsageError
from cryospin.evaluate.maps import map_summary
from cryospin.evaluate.poses import match_particles, pose_summary
from cryospin.io.formats import poses_of, read_particles_of_any_kind
from cryospin.io.mrc import read_map
from cryospin.rotations.symmetry import symmetry_group
from cryospin.types import DensityMap, ParticleStack


def evaluate_run(
    directory: Path | str,
    truth_star: Path | str,
    truth_map: Path | str | None = None,
    symmetry: str = "C1",
) -> dict[str, Any]:
    """Errors of a run's poses and, where a true map is given, of its maps; ready for JSON.

    Lengths are in Angstrom or pixels of the particle images, as their names say. "halves"
    holds the same pose errors for each half-set in its own best frame: much better than
    the whole means that the halves were put together wrongly. "map" is None where no true
    map was given, or the run wrote no map. "run_date" is that of the run's result.json, by
    which a report knows that these are its own errors.

    Raises
    ------
    UsageError: a file that is not there, an unknown symmetry.
    BadDataError: tables without poses or without a common particle.
    """
    directory, truth_star = Path(directory), Path(truth_star)
    symmetry_group(symmetry)  # complain before work
    table = directory / "particles.star"
    for path in (table, truth_star, truth_map):
        if path is not None and not Path(path).is_file():
            fix = "give a folder that cryospin reconstruct wrote" if path == table else None
            raise UsageError(f"no such file: {path}" + (f"\n  fix: {fix}" if fix else ""))
    run, truth = map(read_particles_of_any_kind, (table, truth_star))
    estimated, true = match_particles(run, truth)
    told = _result(directory)
    result: dict[str, Any] = {
        "run_date": told.get("date"),
        "verdict": told.get("verdict"),
        "symmetry": symmetry,
        "box": run.box,
        "pixel_size_angstrom": run.pixel_size_angstrom,
        "particles_in_run": len(run),
        "particles_in_truth": len(truth),
        **pose_summary(
            poses_of(estimated), poses_of(true), estimated.pixel_size_angstrom, symmetry
        ),
        "halves": _halves(estimated, true, symmetry),
        "map": None,
    }
    if truth_map is not None and (directory / "map.mrc").is_file():
        halves = _optional(directory / "half1.mrc"), _optional(directory / "half2.mrc")
        result["map"] = map_summary(
            read_map(directory / "map.mrc"),
            read_map(truth_map, pad_to_cube=True),
            _optional(directory / "mask.mrc"),
            None if halves[0] is None or halves[1] is None else (halves[0], halves[1]),
        )
    return result


def _halves(
    estimated: ParticleStack, true: ParticleStack, symmetry: str
) -> dict[str, dict[str, Any]]:
    if estimated.half_set is None:
        return {}
    found = {}
    for half in (1, 2):
        members = np.flatnonzero(estimated.half_set == half)
        if len(members):
            index = torch.as_tensor(members)
            found[str(half)] = pose_summary(
                poses_of(estimated).select(index),
                poses_of(true).select(index),
                estimated.pixel_size_angstrom,
                symmetry,
            )
    return found


def _result(directory: Path) -> dict[str, Any]:
    """What result.json tells; nothing where there is none."""
    path = directory / "result.json"
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise BadDataError(f"not JSON: {error}", file=path, fix="run the command again") from error
    return told if isinstance(told, dict) else {}


def _optional(path: Path) -> DensityMap | None:
    return read_map(path) if path.is_file() else None
