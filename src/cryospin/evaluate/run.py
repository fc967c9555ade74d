"""A run's folder against the truth: what `cryospin evaluate` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from cryospin.errors import UsageError
from cryospin.evaluate.classes import Sorted, class_folders, class_summary
from cryospin.evaluate.maps import map_summary
from cryospin.evaluate.poses import match_particles, pose_summary
from cryospin.evaluate.told import halves_in, map_if_there, told_in
from cryospin.io.formats import poses_of, read_particles_of_any_kind
from cryospin.io.mrc import read_map
from cryospin.rotations.symmetry import symmetry_group
from cryospin.types import ParticleStack


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
        The true map, or the folder that has those of a mixture.
    symmetry : str
        The particle's point group: poses that it makes equal count as equal.

    Returns
    -------
    dict
        Ready for JSON; lengths in Angstrom or pixels of the images, as their names say.
        "halves" has the pose errors of each half-set in its own best frame: if they are much
        smaller than those of the whole, the halves were joined wrongly. "map" is None without
        a true map, or if the run wrote no map. "run_date" is the date in the run's result.json;
        the report uses it to recognise its own errors. "classes" is there if the run has several
        classes or `truth_map` is a folder (docs/mixtures.md). Several classes have their poses and
        maps in there, each in a frame of its own, and none outside. Particles that the truth calls
        junk have no pose.

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
        there = path is truth_map and path is not None and Path(path).is_dir()
        if path is not None and not there and not Path(path).is_file():
            fix = "give a folder that cryospin reconstruct wrote" if path == table else None
            raise UsageError(f"no such file: {path}" + (f"\n  fix: {fix}" if fix else ""))
    run, truth = map(read_particles_of_any_kind, (table, truth_star))
    estimated, true = match_particles(run, truth)
    told = told_in(directory)
    result: dict[str, Any] = {
        "run_date": told.get("date"),
        "verdict": told.get("verdict"),
        "symmetry": symmetry,
        "box": run.box,
        "pixel_size_angstrom": run.pixel_size_angstrom,
        "particles_in_run": len(run),
        "particles_in_truth": len(truth),
    }
    true_maps = None if truth_map is None else Path(truth_map)
    folders = class_folders(directory)
    particles = Sorted(estimated, true, folders or (directory,), bool(folders), true_maps)
    if folders:
        classes = class_summary(particles, symmetry)
        return {**result, "particles": len(estimated), "classes": classes}
    result |= _of_one_map(particles, directory, symmetry)
    if particles.several_true_maps:
        result["classes"] = class_summary(particles, symmetry)
    return result


def _of_one_map(particles: Sorted, directory: Path, symmetry: str) -> dict[str, Any]:
    """Of a run that has one map and all poses in its frame."""
    showing = np.flatnonzero(particles.true >= 0)
    estimated, true = particles.run.select(showing), particles.truth.select(showing)
    pixel = estimated.pixel_size_angstrom
    result: dict[str, Any] = {
        **pose_summary(poses_of(estimated), poses_of(true), pixel, symmetry),
        "halves": _halves(estimated, true, symmetry),
        "map": None,
    }
    path = particles.true_map_of_most
    if path is not None and (directory / "map.mrc").is_file():
        result["map"] = map_summary(
            read_map(directory / "map.mrc"),
            read_map(path, pad_to_cube=True),
            map_if_there(directory / "mask.mrc"),
            halves_in(directory),
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
