"""Run folders from before there was a record (io.record): which of their files cryospin made.

Such a folder has no hashes to go by, so a file is ours if the folder is plainly a run's and the
file is, by its content, what a run writes under that name. Anything else is somebody else's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from cryospin.errors import BadDataError
from cryospin.io.mrc_header import is_by_cryospin
from cryospin.io.record import RECORD
from cryospin.io.run_folder import CHECKPOINTS, EVALUATION, LOG, NOT_CONVERGED
from cryospin.io.star import read_star


def of_older_run(folder: Path) -> list[str]:
    """The names of a run's files in a folder without a record; none where it is no run's."""
    if not _is_older_run(folder):
        return []
    return [name for name in (*_FILES, *_FOLDERS) if _is_as_we_write_it(folder, name)]


def is_of_older_run(path: Path) -> bool:
    """Whether it is one of the files that `of_older_run` names in its folder or the one above."""
    for folder in path.parents[:2]:
        name = path.relative_to(folder).as_posix()
        if name in _KINDS and _is_older_run(folder):
            return _is_as_we_write_it(folder, name)
    return False


def _is_older_run(folder: Path) -> bool:
    if (folder / RECORD).exists():
        return False
    return _is_result(folder / "result.json") or _is_log(folder / LOG)


def _is_as_we_write_it(folder: Path, name: str) -> bool:
    path = folder / name
    if path.is_symlink() or not (path.is_dir() if name in _FOLDERS else path.is_file()):
        return False
    try:
        return _KINDS[name](path)
    except (BadDataError, BadZipFile, OSError, ValueError):
        return False


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _is_result(path: Path) -> bool:
    told = _json(path)
    return told.get("program") == "cryospin" and "verdict" in told


def _is_log(path: Path) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            first = json.loads(file.readline())
    except (OSError, ValueError):
        return False
    return isinstance(first, dict) and {"time", "seconds", "stage", "event"} <= {*first}


def _is_page(path: Path) -> bool:
    with open(path, encoding="utf-8", errors="replace") as file:
        return " - cryospin</title>" in file.read(5000)


def _is_table_of_poses(path: Path) -> bool:
    """A run's has a row for each of its particles, with pose, confidence and half-set."""
    run = path.parent.parent if path.parent.name == NOT_CONVERGED else path.parent
    count = _json(run / "result.json").get("particles")
    columns = {"rlnAngleRot", "rlnMaxValueProbDistribution", "rlnRandomSubset", "rlnImageName"}
    return any(
        columns <= {*block.table} and len(block) == count
        for block in read_star(path).blocks.values()
    )


def _is_cryosparc_table_of_poses(path: Path) -> bool:
    with open(path, "rb") as file:
        return b"cryospin/confidence" in file.read(100_000)


def _is_fsc(path: Path) -> bool:
    """RELION's own postprocess.star has more blocks."""
    blocks = read_star(path).blocks
    return [*blocks] == ["general", "fsc"] and "rlnFinalResolution" in blocks["general"].pairs


def _is_rejected(path: Path) -> bool:
    return any("cryospinReason" in block.table for block in read_star(path).blocks.values())


def _has_arrays(*names: str) -> Callable[[Path], bool]:
    def has(path: Path) -> bool:
        with np.load(path, allow_pickle=False) as arrays:
            return {*names} <= {*arrays}

    return has


def _is_checkpoints(path: Path) -> bool:
    return {"run", "parts"} <= {*_json(path / "manifest.json")}


_PER_PLACE: dict[str, Callable[[Path], bool]] = {
    **dict.fromkeys(("map.mrc", "half1.mrc", "half2.mrc", "mask.mrc"), is_by_cryospin),
    "particles.star": _is_table_of_poses,
    "particles.cs": _is_cryosparc_table_of_poses,
    "fsc.star": _is_fsc,
}
_FILES: dict[str, Callable[[Path], bool]] = {
    "result.json": _is_result,
    "report.html": _is_page,
    LOG: _is_log,
    EVALUATION: lambda path: "rotation_error_degrees" in _json(path),
    "rejected.star": _is_rejected,
    "samples.npz": _has_arrays("image", "reprojection"),
    "rejected.npz": _has_arrays("image", "reason"),
    "particle.npz": _has_arrays("mean_image", "variance"),
    **_PER_PLACE,
    **{f"{NOT_CONVERGED}/{name}": kind for name, kind in _PER_PLACE.items()},
}
_FOLDERS = {CHECKPOINTS: _is_checkpoints}
_KINDS = _FILES | _FOLDERS
