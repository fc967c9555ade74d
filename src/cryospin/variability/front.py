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
    """folder: what was written (docs/variability.md). report: the page to read. summary: what
    variability.json holds. result: maps, coordinates and the agreement of the halves."""

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
    """Continuous variability of a converged run, at its poses: `cryospin variability`.

    A mean map and a few components, found in each half-set alone; how far the halves agree tells
    whether the data show them. Run again, it replaces what it wrote before.

    Parameters
    ----------
    run: folder that `cryospin reconstruct` wrote, converged.
    out: default: `variability` in the run's folder.
    resolution_angstrom: finer detail is not used; default twice the run's resolution.
    mask: a map that is 0 where nothing varies; default the run's mask.
    iterations: of expectation maximisation.
    threads: of torch and numba, from now on; default: all cores available.
    progress: called with a step's name, what is done and what there is in all.

    Raises
    ------
    UsageError: options that cannot be; `out` holds files that are not cryospin's, or is in use.
    BadDataError: no converged run, images that are not where they were, too few of them.
    ResourceError: the disk does not take the files.
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
