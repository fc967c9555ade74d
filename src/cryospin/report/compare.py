"""Two runs side by side on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cryospin.io.atomic import atomic_path
from cryospin.report.curves import Axis, Curve, chart, resolution_labels
from cryospin.report.inputs import RunFiles, read_run
from cryospin.report.layout import rendered, texts
from cryospin.report.pictures import MARGIN, SURFACE_PIXELS, VIEWS, central_slices
from cryospin.report.png import png
from cryospin.report.surface import CAST_BOX, render_surface, surface_of, upright, view_rotation
from cryospin.report.words import (
    angstrom,
    as_tiles,
    label_and_value,
    number_tiles,
    seconds_in_words,
    verdict_in_words,
)
from cryospin.version import installed_version

_ANY = object()


def write_comparison(
    first: Path,
    second: Path,
    out: Path,
    moved: np.ndarray | None,
    maps: dict[str, Any] | None,
    poses: dict[str, Any] | None,
    problems: tuple[str, ...],
) -> Path:
    """The page of two run directories, written to `out`.

    moved: the second one's map (d, d, d) laid upon the first one's; the others are those of an
    evaluate.two_runs.Comparison.

    Raises
    ------
    BadDataError: one of the folders is no run's.
    ResourceError: the page cannot be written.
    """
    runs = (read_run(first), read_run(second))
    names = names_of(first, second)
    page = rendered(
        "compare.html.j2",
        {
            "name": " and ".join(names),
            "date": "",
            "version": installed_version(),
            "style": texts("page.css", "live.css"),
            "reasons": [],
            "warnings": [],
            "stages": [],
            "tables": [],
            "command": None,
            "problems": [*problems, *(each for run in runs for each in run.problems)],
            "verdict": agreement(maps, poses),
            "tiles": agreement_tiles(maps, poses),
            "runs": [
                {
                    "name": name,
                    "verdict": verdict_in_words(run.result),
                    "reasons": run.result.get("reasons", []),
                    "tiles": number_tiles(run.result),
                    "pictures": pictures,
                }
                for name, run, pictures in zip(names, runs, both_pictures(runs, moved), strict=True)
            ],
            "fsc": fsc_chart(runs, names, maps),
            "settings": settings_that_differ(*(run.result for run in runs)),
            "seconds": seconds_side_by_side(*(run.result for run in runs)),
        },
    )
    with atomic_path(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out


def names_of(first: Path, second: Path) -> tuple[str, str]:
    """The folders' names, or as they were given where these are the same."""
    one, other = first.resolve().name, second.resolve().name
    return (one, other) if one != other else (str(first), str(second))


def agreement(maps: dict[str, Any] | None, poses: dict[str, Any] | None) -> dict[str, str]:
    """title, sentence and mood: what the two have in common."""
    parts = []
    if maps is not None:
        reach = maps["fsc_0.5_angstrom"]
        hand = "mirrored and moved" if maps["hand_flipped"] else "moved"
        parts.append(
            f"The second map, {hand} onto the first, agrees with it to {angstrom(reach)} (FSC 0.5)."
            if reach
            else "The maps agree at no resolution, however they are laid upon one another."
        )
    if poses is not None:
        turn = poses["rotation_error_degrees"]
        parts.append(
            f"The poses of {poses['particles']:,} particles that both have differ by "
            f"{turn['median']:.2g}° (median)."
        )
    sentence = " ".join(parts) or "Neither their maps nor their poses could be compared."
    return {"title": "Two runs compared", "sentence": sentence, "mood": "plain"}


def agreement_tiles(
    maps: dict[str, Any] | None, poses: dict[str, Any] | None
) -> list[dict[str, str]]:
    """The numbers of it."""
    found: list[tuple[str, Any]] = []
    if maps is not None:
        found += [
            ("maps agree to (FSC 0.5)", angstrom(maps["fsc_0.5_angstrom"])),
            ("maps agree to (FSC 0.143)", angstrom(maps["fsc_0.143_angstrom"])),
            ("of the second: its hand", "flipped" if maps["hand_flipped"] else "kept"),
        ]
    if poses is not None:
        turn, shift = poses["rotation_error_degrees"], poses["shift_error"]
        found += [
            ("particles in both", f"{poses['particles']:,}"),
            ("median difference of poses", f"{turn['median']:.2g}°"),
            ("of poses differ by more than 10°", f"{turn['percent_beyond_10']:.1f} %"),
            ("median difference of shifts", f"{shift['median_angstrom']:.2g} Å"),
        ]
    return as_tiles(found)


def fsc_chart(
    runs: tuple[RunFiles, RunFiles], names: tuple[str, str], maps: dict[str, Any] | None
) -> str | None:
    """Each run's own FSC, and that of one map with the other; None where nothing is known."""
    curves = []
    for run, name, look in zip(runs, names, ("newest", "other"), strict=True):
        if run.fsc is not None and "corrected" in run.fsc.curves:
            values = run.fsc.curves["corrected"].tolist()
            curves.append(Curve(run.fsc.frequency.tolist(), values, look, name))
    result = runs[0].result
    if maps is not None and {"box", "pixel_size_angstrom"} <= {*result}:
        field = result["box"] * result["pixel_size_angstrom"]
        frequency = [(shell + 1) / field for shell in range(len(maps["fsc"]))]
        curves.append(Curve(frequency, maps["fsc"], "between", "between the maps"))
    if not curves:
        return None
    last = max(curve.x[-1] for curve in curves)
    places, labels = resolution_labels(last)
    across = Axis("resolution (Å)", 0.0, last, list(zip(places, labels, strict=True)))
    up = Axis("FSC", -0.05, 1.0, [(value, f"{value:g}") for value in (0, 0.2, 0.4, 0.6, 0.8, 1)])
    return chart("Fourier shell correlations of both runs", curves, across, up, (0.143, 0.5))


def both_pictures(
    runs: tuple[RunFiles, RunFiles], moved: np.ndarray | None
) -> list[dict[str, Any] | None]:
    """Surface and slices of both maps, from the same side; of the second as it was moved."""
    frame: np.ndarray | None = None
    found: list[dict[str, Any] | None] = []
    for density in (runs[0].map, runs[1].map if moved is None else moved):
        surface = None if density is None else surface_of(density)
        if surface is None:
            found.append(None)
            continue
        if frame is None:
            imposed = runs[0].result.get("symmetry", "C1") != "C1"
            frame = np.eye(3) if imposed else upright(surface.values, surface.level)
        half_width = min(CAST_BOX // 2, int(np.ceil(surface.extent * MARGIN)))
        rotation = view_rotation(*next(iter(VIEWS.values()))) @ frame
        found.append(
            {
                "surface": png(render_surface(surface, rotation, SURFACE_PIXELS)),
                "slices": central_slices(surface.values, half_width),
            }
        )
    return found


def settings_that_differ(first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, str]]:
    """A row for each setting, and the version, with both values, where they are not the same."""
    one, other = (
        {**result.get("settings", {}), "version": result.get("version", "")}
        for result in (first, second)
    )
    return [
        {
            "label": name.replace("_", " "),
            "first": label_and_value(name, one.get(name))["value"],
            "second": label_and_value(name, other.get(name))["value"],
        }
        for name in {**one, **other}
        if name not in ("screening", "command") and one.get(name, _ANY) != other.get(name, _ANY)
    ]


def seconds_side_by_side(first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, str]]:
    """A row for each stage, and the whole."""
    one, other = first.get("seconds", {}), second.get("seconds", {})
    rows = [
        {"label": stage, "first": _time(one.get(stage)), "second": _time(other.get(stage))}
        for stage in {**one, **other}
    ]
    whole = {"label": "in all", "first": _time(sum(one.values()))}
    return [*rows, whole | {"second": _time(sum(other.values()))}] if rows else []


def _time(seconds: float | None) -> str:
    return "" if seconds is None else seconds_in_words(seconds)
