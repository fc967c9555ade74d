"""report.html: one self-contained page that says first whether a run can be trusted.

Built from the files of the run directory alone (report.inputs), so that it can be made
again at any time; what a file would have shown is left out when the file is absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from cryospin.io.atomic import atomic_path
from cryospin.io.outputs import Outputs, begin_outputs
from cryospin.parallel import together
from cryospin.report import figures
from cryospin.report.inputs import RunFiles, read_run
from cryospin.report.pictures import (
    half_map_pictures,
    map_pictures,
    rejected_pictures,
    sample_pictures,
)
from cryospin.report.words import (
    evaluation_tiles,
    evidence_rows,
    label_and_value,
    not_modelled_in_words,
    number_tiles,
    screening_in_words,
    seconds_in_words,
    size_in_words,
    verdict_in_words,
)
from cryospin.version import installed_version

PAGE = "report.html"

# in the order they build on one another
SCRIPTS = ("isosurface.js", "viewer.js", "panels.js")
STAGE_COLOURS = (
    "#9aa5b1",
    "#c9b458",
    "#3f9c8f",
    "#2b66ad",
    "#8bb8e0",
    "#a98fc4",
    "#dd8330",
    "#7f5539",
)


def write_report(run_directory: Path) -> Path:
    """Write `report.html` into a run directory and return its path.

    Raises
    ------
    BadDataError: the folder holds neither a readable result.json nor a log.
    UsageError: a report.html is there that cryospin did not write.
    ResourceError: the page cannot be written there.
    """
    run = read_run(Path(run_directory))
    begin_outputs(run.directory, Outputs((PAGE,)))
    environment = Environment(
        loader=PackageLoader("cryospin.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("template.html.j2").render(**content_of(run))
    path = run.directory / PAGE
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def content_of(run: RunFiles) -> dict[str, Any]:
    """Everything the template shows."""
    result = run.result
    screening = result.get("settings", {}).get("screening")
    # rays are cast by compiled code, and charts drawn by Python's
    pictures, drawn = together([lambda: map_pictures(run), lambda: list(charts(run))])
    return {
        "name": run.directory.resolve().name,
        "date": str(result.get("date", ""))[:16].replace("T", " "),
        "version": result.get("version") or installed_version(),
        "style": texts("page.css"),
        "verdict": verdict_in_words(result),
        "reasons": result.get("reasons", []),
        "warnings": [
            *result.get("warnings", []),
            *not_modelled_in_words(result.get("not_modelled", [])),
        ],
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
        "rejected": rejected_pictures(run),
        "evaluation": evaluation_tiles(run.evaluation) if run.evaluation else [],
        "stages": stages(result.get("seconds", {})),
        "tables": tables(result),
        "problems": run.problems,
    }


def texts(*names: str) -> str:
    """Files beside this one, put together."""
    return "".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in names)


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


def stages(seconds: dict[str, float]) -> list[dict[str, Any]]:
    """Stages in the order they ran, with their share of the whole."""
    whole = sum(seconds.values()) or 1.0
    return [
        {
            "name": name,
            "seconds": seconds_in_words(spent),
            "share": round(spent / whole, 4),
            "colour": STAGE_COLOURS[number % len(STAGE_COLOURS)],
        }
        for number, (name, spent) in enumerate(seconds.items())
    ]


def tables(result: dict[str, Any]) -> list[dict[str, Any]]:
    titles = {"settings": "Settings", "versions": "Versions"}
    return [
        {
            "title": title,
            # screening has a panel of its own
            "rows": [label_and_value(*i) for i in result[key].items() if i[0] != "screening"],
        }
        for key, title in titles.items()
        if result.get(key)
    ]
