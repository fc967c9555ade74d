"""A result on disk. `result.json` comes last: a folder without it is not a finished run."""

from __future__ import annotations

import json
import platform
import resource
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cryospin.io.atomic import atomic_path, left_unfinished
from cryospin.io.mrc import write_map
from cryospin.io.outputs import Outputs
from cryospin.io.record import is_ours
from cryospin.io.run_folder import CHECKPOINTS, EVALUATION, LOG, NOT_CONVERGED
from cryospin.io.star import StarBlock, StarFile
from cryospin.io.star_writer import write_star
from cryospin.io.table_writer import write_beside
from cryospin.reconstruct.result import Result
from cryospin.reconstruct.samples import REJECTED_SAMPLES, SAMPLES, SIZE, write_size
from cryospin.reconstruct.screening import REJECTED
from cryospin.types import ParticleStack
from cryospin.version import checked_out_commit, code_digest, installed_version
from cryospin.volumes.resolution import HalfMapResolution

_MAPS = ("map.mrc", "half1.mrc", "half2.mrc", "mask.mrc")
_TABLES = ("particles.star", "particles.cs", "fsc.star")
_OF_THE_RUN = ("result.json", "report.html", SAMPLES, REJECTED, REJECTED_SAMPLES, SIZE)
_FILES = (*_OF_THE_RUN, *_MAPS, *_TABLES)

RUN = Outputs(
    files=(*_FILES, *(f"{NOT_CONVERGED}/{name}" for name in (*_MAPS, *_TABLES))),
    growing=(LOG,),
    folders=(CHECKPOINTS,),
)
"""What a run writes into its folder (docs/outputs.md)."""


def clear_finished(directory: Path, *, keep_log: bool = False) -> None:
    """Take away an earlier run's results, so that an interrupted run cannot pass for it.

    Also what it was writing when it was killed. The folder must have been claimed as `RUN`
    (io.outputs), which has seen to it that these files are ours.
    """
    # errors of the earlier run, where it was the demo that wrote them and not a user
    of_the_demo = (EVALUATION,) if is_ours(directory / EVALUATION) else ()
    for name in (*RUN.files, *of_the_demo, *(() if keep_log else RUN.growing)):
        path = directory / name
        path.unlink(missing_ok=True)
        for unfinished in left_unfinished(path.parent, path.name):
            unfinished.unlink()


def write_result(
    result: Result,
    stack: ParticleStack,
    directory: Path,
    seconds: dict[str, float],
    settings: dict[str, Any],
) -> None:
    """Every file of a run, each atomically.

    Raises
    ------
    ResourceError: the disk does not take one of them; result.json is then not there.
    """
    place = directory if result.verdict.converged else directory / NOT_CONVERGED
    place.mkdir(parents=True, exist_ok=True)
    for name in ("map", "half1", "half2", "mask"):
        write_map(place / f"{name}.mrc", getattr(result, name))
    write_beside(place, stack, result.poses, result.half_set)
    if result.size is not None:
        write_size(directory / SIZE, result.size, stack.pixel_size_angstrom)
    write_fsc(place / "fsc.star", result.resolution)
    with atomic_path(directory / "result.json") as temporary:
        temporary.write_text(json.dumps(summary(result, stack, seconds, settings), indent=1))


def summary(
    result: Result,
    stack: ParticleStack,
    seconds: dict[str, float],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """The contents of result.json (docs/outputs.md)."""
    return run_record(stack, seconds, settings) | {
        "verdict": result.verdict.label,
        "reasons": list(result.verdict.reasons),
        "warnings": list(result.verdict.warnings),
        "evidence": [asdict(each) for each in result.verdict.evidence],
        "resolution_angstrom": resolution_in_angstrom(result),
        "particle": None if result.size is None else result.size.summary(),
        "symmetry": result.symmetry,
        "symmetry_found": None if result.found is None else result.found.summary(),
        "explore": result.explore.summary(),
        "refine": result.refine,
    }


def resolution_in_angstrom(result: Result) -> dict[str, float | None]:
    """By threshold; a map that is none has no resolution."""
    converged, found = result.verdict.converged, result.resolution
    return {
        "fsc_0.143": found.resolution_0143_angstrom if converged else None,
        "fsc_0.5": found.resolution_05_angstrom if converged else None,
    }


def run_record(
    stack: ParticleStack, seconds: dict[str, float], settings: dict[str, Any]
) -> dict[str, Any]:
    """What every run tells of itself: the program, the data, what was asked and what it took."""
    return {
        "program": "cryospin",
        "version": installed_version(),
        "code": code_digest(),
        "commit": checked_out_commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "particles": len(stack),
        "box": stack.box,
        "pixel_size_angstrom": stack.pixel_size_angstrom,
        "not_modelled": [asdict(each) for each in stack.not_modelled],
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "seconds_total": round(sum(seconds.values()), 2),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "peak_card_memory_bytes": peak_card_memory_bytes(),
        "settings": settings,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "numba")},
        },
    }


def peak_card_memory_bytes() -> int | None:
    """Of this process's tensors; None where it has used no card."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else None


def write_fsc(path: Path, resolution: HalfMapResolution) -> None:
    """FSC curves in the columns of RELION's postprocessing."""
    shells = range(1, len(resolution.unmasked) + 1)
    angstrom = [resolution.box * resolution.pixel_size_angstrom / shell for shell in shells]

    def column(values: Any) -> list[str]:
        return [f"{float(value):.6f}" for value in values]

    columns = {
        "rlnSpectralIndex": [str(shell) for shell in shells],
        "rlnResolution": column(1 / value for value in angstrom),
        "rlnAngstromResolution": column(angstrom),
        "rlnFourierShellCorrelationCorrected": column(resolution.corrected),
        "rlnFourierShellCorrelationUnmaskedMaps": column(resolution.unmasked),
        "rlnFourierShellCorrelationMaskedMaps": column(resolution.masked),
        "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps": column(
            resolution.phase_randomised
        ),
    }
    final = resolution.resolution_0143_angstrom
    general = {"rlnFinalResolution": "nan" if final is None else f"{final:.4f}"}
    write_star(
        path,
        StarFile({"general": StarBlock(pairs=general), "fsc": StarBlock(columns={**columns})}),
    )
