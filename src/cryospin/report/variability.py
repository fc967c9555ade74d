"""report.html of a variability analysis: one self-contained page that says first whether the
half-sets found the same.

Built from the files of its folder alone (docs/variability.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from cryospin.fourier.resize import resized
from cryospin.io.atomic import atomic_path
from cryospin.report.inputs import read_json, read_volume
from cryospin.report.page import texts
from cryospin.report.pictures import MARGIN, SURFACE_PIXELS, cut
from cryospin.report.png import grey_levels, png
from cryospin.report.raycast import empty_distance
from cryospin.report.surface import (
    CAST_BOX,
    Surface,
    render_surface,
    surface_of,
    upright,
    view_rotation,
)
from cryospin.report.variability_charts import (
    agreement_chart,
    coordinates_chart,
    histograms_chart,
)
from cryospin.report.words import label_and_value

_VIEW = (20, 12)  # azimuth and elevation, degrees
_SHOWN = (0, 2, 4)  # of the frames: both ends and the middle


def write_variability_report(folder: Path) -> Path:
    """Write `report.html` into the folder and return its path.

    Raises
    ------
    BadDataError: a file of the analysis is missing or cannot be read.
    ResourceError: the page cannot be written there.
    """
    environment = Environment(
        loader=PackageLoader("cryospin.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("variability.html.j2").render(**content_of(folder))
    path = folder / "report.html"
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def content_of(folder: Path) -> dict[str, Any]:
    """Everything the template shows."""
    told = read_json(folder / "variability.json")
    coordinates = read_coordinates(folder / "coordinates.csv", len(told["components"]))
    found, count = told["reproducible_components"], len(told["components"])
    title = f"{found} of {count} components are reproducible"
    return {
        "name": folder.resolve().parent.name,
        "date": str(told["date"])[:16].replace("T", " "),
        "version": told["version"],
        "style": texts("page.css"),
        "title": title if found else "No reproducible variability",
        "mood": "bad" if not found else "good" if found == count else "doubt",
        "words": told["words"],
        "tiles": tiles(told),
        "rows": rows(told),
        "components": list(component_pictures(folder, told)),
        "charts": list(charts(told, coordinates)),
        "settings": [label_and_value(*item) for item in told["settings"].items()],
    }


def read_coordinates(path: Path, components: int) -> np.ndarray:
    """(n, m) posterior means."""
    columns = range(2, 2 + components)
    return np.loadtxt(path, delimiter=",", skiprows=1, usecols=columns, ndmin=2)


def tiles(told: dict[str, Any]) -> list[dict[str, str]]:
    best = max(each["correlation_of_halves"] for each in told["components"])
    return [
        {"value": f"{told['reproducible_components']}", "label": "components in both half-sets"},
        {"value": f"{best:.2f}", "label": "best correlation of the halves"},
        {"value": f"{told['particles']:,}", "label": "particles"},
        {"value": f"{told['resolution_angstrom']:.1f} Å", "label": "detail used"},
    ]


def rows(told: dict[str, Any]) -> list[dict[str, str]]:
    """The table of components."""
    return [
        {
            "name": str(number),
            "correlation": f"{each['correlation_of_halves']:.2f}",
            "variance": f"{100 * each['variance']:.2g} %",
            "share": f"{100 * each['share']:.0f} %",
            "alike": f"{each['like_the_mean']:.2f}",
            "mark": "✓ reproducible" if each["reproducible"] else "✗ in one half only",
            "mood": "good" if each["reproducible"] else "bad",
        }
        for number, each in enumerate(told["components"], 1)
    ]


def component_pictures(folder: Path, told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Of each component the slices of both halves and, where these agree, surfaces along it."""
    mean = surface_of(read_volume(folder / "mean.mrc"))
    half_width = CAST_BOX // 2
    if mean is not None:
        half_width = min(half_width, int(np.ceil(mean.extent * MARGIN)))
    for number, each in enumerate(told["components"], 1):
        stem = f"component_{number:02d}"
        along = []
        if each["reproducible"] and mean is not None:
            frames = [read_volume(folder / f"{stem}_frame_{f + 1:02d}.mrc") for f in _SHOWN]
            places = [each["frame_coordinates"][f] for f in _SHOWN]
            along = [
                {"label": f"{place:+.1f}", "uri": picture}
                for place, picture in zip(places, surfaces(mean, frames), strict=True)
            ]
        halves = [read_volume(folder / f"{stem}_half{half}.mrc") for half in (1, 2)]
        yield {
            "number": number,
            "mood": "good" if each["reproducible"] else "bad",
            "along": along,
            "halves": half_slices(halves[0], halves[1], half_width),
        }


def surfaces(mean: Surface, frames: list[np.ndarray]) -> list[str]:
    """Each frame at the level of the mean map, from one side and at one scale."""
    rotation = view_rotation(*_VIEW) @ upright(mean.values, mean.level)
    extent = min(MARGIN * mean.extent, CAST_BOX / 2 - 3)
    pictures = []
    for frame in frames:
        values = resized(frame, CAST_BOX)
        distance = empty_distance(values >= mean.level)
        surface = replace(mean, values=values, distance=distance, extent=extent)
        pictures.append(png(render_surface(surface, rotation, SURFACE_PIXELS)))
    return pictures


def half_slices(first: np.ndarray, second: np.ndarray, half_width: int) -> list[dict[str, str]]:
    """The slice with most of the component's power, normal to z, of each half, on one scale."""
    maps = [resized(half, CAST_BOX) for half in (first, second)]
    strongest = int(np.argmax(((maps[0] + maps[1]) ** 2).sum(axis=(1, 2))))
    levels = grey_levels(np.concatenate([half[strongest] for half in maps], axis=1))
    return [
        {"label": label, "uri": png(cut(picture, half_width))}
        for label, picture in zip(("half 1", "half 2"), np.split(levels, 2, axis=1), strict=True)
    ]


def charts(told: dict[str, Any], coordinates: np.ndarray) -> Iterator[dict[str, str]]:
    """The charts, in the order of the page."""
    field = told["box"] * told["pixel_size_angstrom"]
    yield {
        "id": "agreement",
        "title": "Agreement of the half-sets",
        "note": "Each half-set found its components alone. A component that both share is in the "
        "data; one that only one of them shows is its noise.",
        "uri": agreement_chart([each["fsc"] for each in told["components"]], field),
    }
    if coordinates.shape[1] > 1:
        yield {
            "id": "coordinates",
            "title": "Particles along components 1 and 2",
            "note": "Clusters are states, a line or a ring is a motion, one round cloud is either "
            "noise or a motion that images tell little of.",
            "uri": coordinates_chart(
                coordinates[:, 0], coordinates[:, 1], ("component 1", "component 2")
            ),
        }
    yield {
        "id": "histograms",
        "title": "Particles along each component",
        "note": "Lines: where along it the maps are written.",
        "uri": histograms_chart(
            coordinates, [each["frame_coordinates"] for each in told["components"]]
        ),
    }
