"""One method on one data set: `cryospin reconstruct` in a process of its own, then scored."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from cryospin.bench.datasets import Dataset
from cryospin.bench.ledger import Row
from cryospin.bench.oracle import Oracle
from cryospin.bench.processes import Ended, run_command
from cryospin.errors import NOT_CONVERGED_CODE
from cryospin.evaluate.run import evaluate_run
from cryospin.io.run_folder import NOT_CONVERGED

CONVERGED, UNCONVERGED = 0, NOT_CONVERGED_CODE
_FINISHED = (CONVERGED, UNCONVERGED)


@dataclass(frozen=True)
class Method:
    """A recipe and how it is called. max_shift_pixel: what the method is told; None: nothing.
    symmetry: a point group it is told, or "auto"."""

    recipe: str
    seed: int = 0
    max_shift_pixel: float | None = None
    device: str = "cpu"
    threads: int | None = None
    symmetry: str = "C1"

    def words(self, dataset: Dataset, out: Path) -> list[object]:
        """The command line after `cryospin`."""
        words: list[object] = ["reconstruct", dataset.particles, "--out", out]
        words += ["--recipe", self.recipe, "--seed", self.seed, "--device", self.device]
        words += ["--symmetry", self.symmetry]
        if self.max_shift_pixel is not None:
            words += ["--max-shift", self.max_shift_pixel * dataset.pixel_size_angstrom]
        if self.threads is not None:
            words += ["--threads", self.threads]
        return words


def run_key(dataset: Dataset, method: Method) -> str:
    return f"{dataset.label}/{method.recipe}/{method.device}/{method.seed}"


def is_done(row: Row | None, limit_minutes: float | None) -> bool:
    """Whether a row of an earlier benchmark stands: a run that ended, or took as long already."""
    if row is None:
        return False
    if row["over_minutes"] is not None:
        return limit_minutes is not None and limit_minutes <= row["over_minutes"]
    return row["exit"] in _FINISHED


def measured(
    dataset: Dataset, method: Method, oracle: Oracle, out: Path, limit_minutes: float | None
) -> Row:
    """Run, score, and tell as a row of results.jsonl. Never raises for a run that fails."""
    limit = None if limit_minutes is None else 60.0 * limit_minutes
    ended = run_command(*method.words(dataset, out), limit_seconds=limit)
    row = {
        "key": run_key(dataset, method),
        "recipe": method.recipe,
        "structure": dataset.structure.name,
        "symmetry": dataset.structure.symmetry,
        "seed": method.seed,
        "device": method.device,
        "particles": dataset.conditions.particles,
        "box": dataset.conditions.box,
        "snr": dataset.conditions.snr,
        "max_shift_pixel": dataset.conditions.max_shift_pixel,
        "views": dataset.conditions.views,
        "pixel_size_angstrom": dataset.pixel_size_angstrom,
        "exit": ended.exit_code,
        "over_minutes": limit_minutes if ended.exit_code is None else None,
        "seconds": round(ended.seconds, 1),
        "processor_seconds": round(ended.processor_seconds, 1),
        "peak_gb": round(ended.peak_bytes / 1e9, 2),
        "complaint": "" if ended.exit_code in _FINISHED else ended.complaint,
    }
    row |= scored(dataset, ended, out)
    row["success"] = succeeded(row, oracle)
    return row


def scored(dataset: Dataset, ended: Ended, out: Path) -> Row:
    """Errors against the truth, also of a run that did not converge; None where there are none.

    Lengths in pixels or Angstrom as named, `beyond_10` a share in [0, 1].
    """
    empty = dict.fromkeys(
        ("mean", "median", "beyond_10", "shift_rms_pixel", "fsc_0.5_angstrom", "fsc"),
    )
    if ended.exit_code not in _FINISHED:
        return empty | {"claimed_angstrom": None, "stages": {}, "warnings": []}
    place = out if ended.exit_code == CONVERGED else out / NOT_CONVERGED
    result = json.loads((out / "result.json").read_text())
    score = evaluate_run(place, dataset.truth, dataset.true_map, dataset.structure.symmetry)
    rotation, shift = score["rotation_error_degrees"], score["shift_error"]
    return {
        "mean": rotation["mean"],
        "median": rotation["median"],
        "beyond_10": rotation["percent_beyond_10"] / 100,
        "shift_rms_pixel": shift["rms_pixel_within_10_degrees"],
        "fsc_0.5_angstrom": score["map"]["fsc_0.5_angstrom"],
        "fsc": score["map"]["fsc"],
        "claimed_angstrom": result["resolution_angstrom"]["fsc_0.143"],
        "stages": result["seconds"],
        "warnings": result["warnings"],
    }


def succeeded(row: Row, oracle: Oracle) -> bool:
    """Exit code 0, and either a median rotation error at most 1.3 times the oracle's (3 degrees
    are allowed at any SNR below 0.1) or, where noise hides most orientations even from the true
    map, at most 1.3 times as many particles beyond 10 degrees as a search in it leaves there.
    """
    if row["exit"] != CONVERGED:
        return False
    allowed = max(1.3 * oracle.median_degrees, 3.0 if row["snr"] < 0.1 else 0.0)
    median = math.inf if row["median"] is None else row["median"]
    return bool(median <= allowed or row["beyond_10"] <= 1.3 * oracle.lost_in_search)
