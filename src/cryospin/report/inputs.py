"""What a run directory holds, read for the report: without result.json it is an unfinished run,
and every other file may be absent.

Nothing here imports torch: its import alone would take longer than the whole report.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from cryospin.errors import BadDataError
from cryospin.io.mrc_header import check_complete, read_header
from cryospin.io.run_folder import EVALUATION, NOT_CONVERGED
from cryospin.io.star import StarBlock, read_star
from cryospin.report.unfinished import INTERRUPTED, result_from_log

FSC_CURVES = {
    "corrected": "rlnFourierShellCorrelationCorrected",
    "masked": "rlnFourierShellCorrelationMaskedMaps",
    "unmasked": "rlnFourierShellCorrelationUnmaskedMaps",
    "phase-randomised": "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps",
}


@dataclass(frozen=True)
class PoseTable:
    """directions: (n, 3) unit vectors of the views in the object's frame, R's third row.

    shifts_angstrom: (n, 2). confidence: (n,) in [0, 1], None if the table has none.
    """

    directions: np.ndarray
    shifts_angstrom: np.ndarray
    confidence: np.ndarray | None


@dataclass(frozen=True)
class FscTable:
    """Curves over spatial frequency (1/Angstrom), by the names of FSC_CURVES."""

    frequency: np.ndarray
    curves: dict[str, np.ndarray]


@dataclass(frozen=True)
class RunFiles:
    """A run directory. Maps are (d, d, d) arrays [z, y, x]; None stands for an absent file.

    place: where in the directory the maps and tables are, "" or "not_converged/".
    samples, rejected, size: arrays of pictures and what is known of them, as
        reconstruct.samples keeps them.
    problems: one sentence per file that is absent or unreadable.
    """

    directory: Path
    place: str
    result: dict[str, Any]
    map: np.ndarray | None
    half1: np.ndarray | None
    half2: np.ndarray | None
    poses: PoseTable | None
    fsc: FscTable | None
    evaluation: dict[str, Any] | None
    samples: dict[str, np.ndarray] | None
    rejected: dict[str, np.ndarray] | None
    size: dict[str, np.ndarray] | None
    problems: tuple[str, ...]


def read_run(directory: Path) -> RunFiles:
    """What `directory` holds of a run.

    Raises
    ------
    BadDataError: neither a log nor a result.json, or one that is no JSON object. What is wrong
        with any other file is said in `problems`.
    """
    problems: list[str] = []
    result = read_result(directory)
    apart = (directory / NOT_CONVERGED).is_dir() and not (directory / "map.mrc").exists()
    place = f"{NOT_CONVERGED}/" if apart else ""
    maps = directory / place

    def optional(path: Path, read: Callable[[Path], Any]) -> Any:
        if not path.exists():
            if result.get("verdict") == INTERRUPTED:
                return None
            problems.append(f"{path.name} is not there.")
            return None
        try:
            return read(path)
        except (BadDataError, KeyError, ValueError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            problems.append(f"{path.name} cannot be shown: {reason}")
            return None

    def extra(name: str, read: Callable[[Path], Any]) -> Any:
        """Files whose absence is no problem."""
        return optional(directory / name, read) if (directory / name).exists() else None

    return RunFiles(
        directory=directory,
        place=place,
        result=result,
        map=optional(maps / "map.mrc", read_volume),
        half1=optional(maps / "half1.mrc", read_volume),
        half2=optional(maps / "half2.mrc", read_volume),
        poses=optional(maps / "particles.star", lambda path: read_poses(path, result)),
        fsc=optional(maps / "fsc.star", read_fsc),
        evaluation=extra(EVALUATION, lambda path: read_evaluation(path, result)),
        samples=extra("samples.npz", read_arrays),
        rejected=extra("rejected.npz", read_arrays),
        size=extra("particle.npz", read_arrays),
        problems=tuple(problems),
    )


def read_json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError("no JSON object")
    return content


def read_evaluation(path: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Errors against a truth; those of an earlier run in the same folder are none of this one's."""
    told = read_json(path)
    if told.get("run_date") != result.get("date"):
        raise ValueError("it is not of this run. Run cryospin evaluate again.")
    return told


def read_result(directory: Path) -> dict[str, Any]:
    path, log = directory / "result.json", directory / "log.jsonl"
    fix = "give a folder that `cryospin reconstruct` wrote"
    if not path.exists() and log.is_file() and (told := result_from_log(log)):
        return told
    try:
        return read_json(path)
    except OSError as error:
        raise BadDataError(f"cannot be read: {error.strerror}", file=path, fix=fix) from None
    except ValueError as error:
        raise BadDataError(f"not a run's result: {error}", file=path, fix=fix) from None


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """An npz file's arrays by name; pickled ones are refused."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (BadZipFile, OSError, EOFError) as error:
        raise ValueError(str(error)) from None


def read_volume(path: Path) -> np.ndarray:
    header = read_header(path)
    check_complete(header)
    values = np.array(header.memmap(), dtype=np.float32)
    if len(set(values.shape)) != 1 or values.shape[0] % 2:
        raise ValueError(f"a map of {values.shape}, not an even cube")
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    return values


def read_poses(path: Path, result: dict[str, Any]) -> PoseTable:
    tables = (b for b in read_star(path).blocks.values() if "rlnAngleRot" in b.columns)
    table = next(tables, None)
    if table is None:
        raise ValueError("it has no poses")
    # by definition rot and tilt are the direction's longitude and its angle from z
    longitude = np.deg2rad(numbers(table, "rlnAngleRot"))
    polar = np.deg2rad(numbers(table, "rlnAngleTilt"))
    across = np.sin(polar)
    directions = [across * np.cos(longitude), across * np.sin(longitude), np.cos(polar)]
    if "rlnOriginXAngst" in table.columns:
        names, unit = ("rlnOriginXAngst", "rlnOriginYAngst"), 1.0
    else:
        names, unit = ("rlnOriginX", "rlnOriginY"), float(result["pixel_size_angstrom"])
    confidence = "rlnMaxValueProbDistribution"
    return PoseTable(
        directions=np.stack(directions, axis=1),
        shifts_angstrom=-unit * np.stack([numbers(table, name) for name in names], axis=1),
        confidence=numbers(table, confidence) if confidence in table.columns else None,
    )


def read_fsc(path: Path) -> FscTable:
    table = read_star(path).blocks["fsc"]
    frequency = numbers(table, "rlnResolution")
    found = {name: column for name, column in FSC_CURVES.items() if column in table.columns}
    return FscTable(frequency, {name: numbers(table, column) for name, column in found.items()})


def numbers(table: StarBlock, column: str) -> np.ndarray:
    return np.array(table.columns[column], dtype=np.float64)
