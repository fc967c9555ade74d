"""report.html: one self-contained page that says first whether a run can be trusted.

Built from the files of the run directory alone (report.inputs), so that it can be made
again at any time; what a file would have shown is left out when the file is absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryospin.io.atomic import atomic_path
from cryospin.io.outputs import Outputs, begin_outputs
from cryospin.io.run_folder import PAGE
from cryospin.parallel import together
from cryospin.report import figures
from cryospin.report.inputs import RunFiles, read_result, read_run
from cryospin.report.layout import layout_content, rendered, texts
from cryospin.report.mixture import mixture_content
from cryospin.report.pictures import (
    half_map_pictures,
    map_pictures,
    rejected_pictures,
    sample_pictures,
)
from cryospin.report.words import (
    evaluation_tiles,
    evidence_rows,
    number_tiles,
    screening_in_words,
    size_in_words,
    verdict_in_words,
)

# in the order they build on one another
SCRIPTS = ("isosurface.js", "viewer.js", "meshes.js", "panels.js")


def write_report(run_directory: Path) -> Path:
    """Write `report.html` into a run directory and return its path.

    Raises
    ------
    BadDataError: the folder holds neither a readable result.json nor a log.
    UsageError: a report.html is there that cryospin did not write.
    ResourceError: the page cannot be written there.
    """
    directory = Path(run_directory)
    read_result(directory)  # complain before anything is touched
    begin_outputs(directory, Outputs((PAGE,)))
    path = directory / PAGE
    with atomic_path(path) as temporary:
        temporary.write_text(page_text(directory), encoding="utf-8")
    return path


def page_text(directory: Path) -> str:
    """The page of a run directory.

    Raises
    ------
    BadDataError: the folder holds neither a readable result.json nor a log.
    """
    result = read_result(directory)
    if result.get("classes"):
        return rendered("mixture.html.j2", mixture_content(directory, result))
    return rendered("map.html.j2", content_of(read_run(directory)))


def content_of(run: RunFiles) -> dict[str, Any]:
    """Everything map.html.j2 shows."""
    result = run.result
    screening = result.get("settings", {}).get("screening")
    # rays are cast by compiled code, and charts drawn by Python's
    pictures, drawn = together([lambda: map_pictures(run), lambda: list(charts(run))])
    return layout_content(run.directory, result) | {
        "verdict": verdict_in_words(result),
        "tiles": number_tiles(result),
        "map_file": f"{run.place}map.mrc",
        "evidence": evidence_rows(result.get("evidence", [])),
        "pictures": pictures,
        "scripts": texts(*SCRIPTS) if pictures and "scene" in pictures else None,
        "halves": half_map_pictures(run),
        "charts": drawn,
        "samples": sample_pictures(run),
        "lowpass": float(run.samples["lowpass_angstrom"]) if run.samples else None,
        "screening": screening_in_words(screening, result.get("particles")) if screening else None,
        "rejected": rejected_pictures(run.rejected),
        "evaluation": evaluation_tiles(run.evaluation) if run.evaluation else [],
        "problems": run.problems,
    }


def charts(run: RunFiles) -> Iterator[dict[str, Any]]:
    """The charts whose files are there, in the order of the page."""
    if run.fsc is not None:
        found = run.result.get("resolution_angstrom", {})
        crossings = {0.143: found.get("fsc_0.143"), 0.5: found.get("fsc_0.5")}
        truth = ((run.evaluation or {}).get("map") or {}).get("fsc")
        yield {
            "id": "fsc",
            "title": "Fourier shell correlation of the half-maps",
            "note": "The corrected curve counts: masked, less what the mask alone would give.",
            "uris": [figures.fsc_chart(run.fsc, crossings, truth)],
        }
    if run.poses is not None:
        yield {
            "id": "directions",
            "title": "Directions the particle was seen from",
            "note": "Equal-area map of the sphere, the particle's z axis at the top.",
            "uris": [figures.direction_chart(run.poses.directions)],
        }
    if run.poses is not None and run.poses.confidence is not None:
        yield {
            "id": "confidence",
            "title": "Confidence in the poses",
            "note": "Close to 1: no other pose explains the image nearly as well.",
            "uris": [figures.confidence_chart(run.poses.confidence)],
        }
    if run.poses is not None:
        yield {
            "id": "shifts",
            "title": "Shifts from the box centre",
            "note": "A cloud cut off at a border asks for a larger search range.",
            "uris": [figures.shift_chart(run.poses.shifts_angstrom)],
        }
    particle = run.result.get("particle")
    if run.size is not None and particle:
        yield {
            "id": "size",
            "title": "How large the particle is",
            "note": size_in_words(particle),
            "uris": [figures.size_chart(run.size, particle)],
        }
    if search := list(search_charts(run.result)):
        yield {
            "id": "search",
            "title": "How it was found",
            "note": "Random starts of each half-set, of which the best (filled) went on; then "
            "rounds of refinement.",
            "uris": search,
        }


def search_charts(result: dict[str, Any]) -> Iterator[str]:
    """Scores of the starts, and the rounds of the refinement, where the result tells them."""
    scores = {
        half.replace("half", "half "): [start["score"] for start in starts]
        for half, starts in result.get("explore", {}).items()
        if isinstance(starts, list) and starts
    }
    if scores:
        yield figures.starts_chart(scores)
    rounds = result.get("refine", [])
    if rounds:
        per_shell = 1.0 / (result["box"] * result["pixel_size_angstrom"])
        searched = [per_shell * each["radius"] for each in rounds]
        agreed = [per_shell * each["limit"] for each in rounds]
        yield figures.rounds_chart(searched, agreed)
