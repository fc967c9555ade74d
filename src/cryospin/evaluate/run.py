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
    """Compare a run's poses and maps with the truth: `cryospin evaluate`.

    Parameters
    ----------
    directory : path
        A folder that `reconstruct` wrote.
    truth_star : path
        A table of the same particles with their true poses.
    truth_map : path, optional
        The true map.
    symmetry : str
        The particle's point group: poses that it makes equal count as equal.

    Returns
    -------
    dict
        Ready for JSON; lengths in Angstrom or pixels of the images, as their names say.
        "halves" has the pose errors of each half-set in its own best frame: if they are much
        smaller than those of the whole, the halves were joined wrongly. "map" is None without
        a true map, or if the run wrote no map. "run_date" is the date in the run's result.json;
        the report uses it to recognise its own errors.

    Raises
    ------
    UsageError
        A file does not exist, or the symmetry is unknown.
    BadDataError
        A table has no poses, or the two have no particle in common.
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
