"""`cryospin.api.variability`: from the folder of a run to a folder of its own beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryospin.errors import UsageError
from cryospin.io.mrc import read_map
from cryospin.io.outputs import claimed
from cryospin.report.variability import write_variability_report
from cryospin.threads import configure_threads
from cryospin.variability.analysis import (
    Progress,
    Variability,
    analyze,
    check_components,
    radius_of,
)
from cryospin.variability.em import SubspaceEM
from cryospin.variability.finished import read_finished_run
from cryospin.variability.outputs import VARIABILITY, write_variability

FOLDER = "variability"
"""Below the run's, where no other is given."""


@dataclass(frozen=True)
class WrittenVariability:
    """What an analysis of variability wrote.

    Parameters
    ----------
    folder : Path
        With the files of docs/variability.md.
    report : Path
        The page to read.
    summary : dict
        The contents of variability.json.
    result : Variability
        Maps, coordinates and the agreement of the halves.
    """

    folder: Path
    report: Path
    summary: dict[str, Any]
    result: Variability


def variability(
    run: Path | str,
    out: Path | str | None = None,
    *,
    components: int = 3,
    resolution_angstrom: float | None = None,
    mask: Path | str | None = None,
    iterations: int = 20,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> WrittenVariability:
    """Find the continuous variability of a converged run, at its poses: `cryospin variability`.

    It finds a mean map and a few components in each half-set alone. How far the halves agree
    tells whether the data show them. Run again, it replaces what it wrote before.

    Parameters
    ----------
    run : path
        Folder of a converged run that `cryospin reconstruct` wrote.
    out : path, optional
        By default the folder `variability` in the run's folder.
    components : int
        Number of directions of variability.
    resolution_angstrom : float, optional
        Do not use finer detail; by default twice the run's resolution.
    mask : path, optional
        A map that is 0 where nothing varies; by default the run's mask.
    iterations : int
        Of expectation maximization.
    seed : int
        Of the random start.
    threads : int, optional
        Of torch and numba, from now on; by default all available cores.
    progress : callable, optional
        Called with the name of a step, the number of items done, and their total number.

    Returns
    -------
    WrittenVariability
        The folder, the report, and the result in memory.

    Raises
    ------
    UsageError
        Options are invalid; or `out` holds files of other programs, or is in use.
    BadDataError
        The run has not converged, its images are not where they were, or there are too few.
    ResourceError
        The disk cannot take the files.
    """
    if iterations < 1:
        raise UsageError(f"iterations must be at least 1, not {iterations}")
    configure_threads(threads)
    folder = Path(run)
    out = folder / FOLDER if out is None else Path(out)
    finished = read_finished_run(folder)
    check_components(finished, components)
    radius_of(finished, resolution_angstrom)  # complain before work
    inside = finished.mask if mask is None else read_map(mask)
    if inside.box != finished.stack.box:
        raise UsageError(
            f"the mask has {inside.box} voxels, the run's maps {finished.stack.box}"
            "\n  fix: give a mask on the voxels of the run's map.mrc"
        )
    settings = {
        "run": str(folder),
        "components": components,
        "resolution_angstrom": resolution_angstrom,
        "mask": None if mask is None else str(mask),
        "iterations": iterations,
        "seed": seed,
    }
    inputs = finished.inputs if mask is None else (*finished.inputs, Path(mask))
    with claimed(out, VARIABILITY, inputs):
        found = analyze(
            finished,
            SubspaceEM(components, iterations, seed),
            resolution_angstrom,
            inside,
            progress or (lambda step, done, total: None),
        )
        told = write_variability(found, finished, out, settings)
        page = write_variability_report(out)
    return WrittenVariability(out, page, told, found)
