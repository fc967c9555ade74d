"""Are these particles fit to be reconstructed? What `cryospin check --json` prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryospin.errors import BadDataError
from cryospin.io.formats import read_particles_of_any_kind
from cryospin.particles.audit import audit_table
from cryospin.particles.findings import image_findings, picks_warnings, table_findings
from cryospin.particles.rejection import sound_particles
from cryospin.threads import available_cores


def check(
    particles: Path | str,
    *,
    images: bool = True,
    cores: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Check a particle table and its images before any compute: `cryospin check`.

    Parameters
    ----------
    particles : path
        RELION .star, cryoSPARC .cs or cryoDRGN .txt.
    images : bool
        Also read every image, once.
    cores : int, optional
        Number of cores the plan is made for; by default those available.
    progress : callable
        Called with the number of images read, and their total number.

    Returns
    -------
    dict
        Ready for JSON. "ok" is true if `reconstruct` would accept the particles. Otherwise
        "problem", "file", "row", "column" and "fix" say why, and only what was found before
        that is there.
    """
    found: dict[str, Any] = {}
    try:
        stack = read_particles_of_any_kind(Path(particles))
        audit_table(stack)
        found = table_findings(stack, available_cores() if cores is None else cores)
        if images:
            seen, audit = image_findings(stack, progress)
            found = found | seen | {"warnings": found["warnings"] + seen["warnings"]}
        found["warnings"] += picks_warnings(found)
        if images:
            sound_particles(stack, audit)
    except BadDataError as error:
        return refusal(error) | found
    return {"ok": True, "images_read": images, **found}


def refusal(error: BadDataError) -> dict[str, Any]:
    return {
        "ok": False,
        "problem": error.problem,
        "file": None if error.file is None else str(error.file),
        "row": error.row,
        "column": error.column,
        "fix": error.fix,
    }
