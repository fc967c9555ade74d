"""Everything that the page of a run at work shows (live.html.j2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cryospin.report.class_flow import class_flow
from cryospin.report.curves import Axis, Curve, chart, resolution_labels
from cryospin.report.globe import filled, globe_picture
from cryospin.report.layout import layout_content, texts
from cryospin.report.live_scene import scene_of, slices_of
from cryospin.report.live_words import events_in_words, live_tiles, phase_in_words, phases, steps
from cryospin.report.told import Told
from cryospin.report.words import screening_in_words

SCRIPTS = ("isosurface.js", "viewer.js", "meshes.js", "live.js")


def live_content(
    folder: Path, told: Told, memory: dict[str, int], ended: str | None = None
) -> dict[str, Any]:
    """ended: why the run does no more; None while it is at work."""
    result = told.result()
    screening = result["settings"].get("screening")
    begun = told.last("run") or {}
    return layout_content(folder, result) | {
        "verdict": phase_in_words(told, ended),
        "tiles": live_tiles(told, memory),
        "phases": phases(told),
        "steps": steps(told) if ended is None else [],
        "charts": live_charts(told),
        "screening": screening_in_words(screening, result.get("particles")) if screening else None,
        "events": events_in_words(told),
        "command": begun.get("command"),
        "scene": {f"half-set {half}": scene_of(each) for half, each in told.seen("map").items()},
        "slices": [
            {"label": f"half-set {half}", "pictures": slices_of(each)}
            for half, each in told.seen("map").items()
        ],
        "views": views_of(told.seen("views")),
        "flow": class_flow(told.lines, by_size=False),
        "ended": ended,
        "problems": (),
        "scripts": texts(*SCRIPTS),
        "style": texts("page.css", "live.css"),
    }


def live_charts(told: Told) -> list[dict[str, Any]]:
    """Those that something is known for."""
    rounds = [line for line in told.lines if line.get("event") == "round" and "limit" in line]
    charts = []
    if any(line.get("fsc") for line in rounds):
        charts.append(
            {
                "id": "fsc",
                "title": "Fourier shell correlation of the half-maps",
                "note": "Round by round, the newest darkest; inside a sphere, without the mask of "
                "the end.",
                "svg": fsc_chart([line for line in rounds if line.get("fsc")], told.result()),
            }
        )
    if rounds:
        charts.append(
            {
                "id": "turns",
                "title": "How far poses still move",
                "note": "The median turn of a pose in each round of refinement.",
                "svg": turns_chart([float(line["median_turn_degrees"]) for line in rounds]),
            }
        )
    sure = [float(line["mean_confidence"]) for line in rounds if "mean_confidence" in line]
    if sure:
        charts.append(
            {
                "id": "confidence",
                "title": "How sure poses are",
                "note": "The mean weight of a particle's pose among its rivals, after each round; "
                "1: no other explains the image nearly as well.",
                "svg": confidence_chart(sure),
            }
        )
    return charts


def views_of(counts: dict[int, np.ndarray]) -> list[dict[str, str]]:
    """The globe of each half-set whose particles have poses."""
    return [
        {
            "label": f"half-set {half}: {100 * filled(each):.0f} % of the sphere seen",
            "uri": globe_picture(each),
        }
        for half, each in counts.items()
    ]


def fsc_chart(rounds: list[dict[str, Any]], result: dict[str, Any]) -> str:
    """FSC over the shells of each round that tells it."""
    field = float(result["box"]) * float(result["pixel_size_angstrom"])
    last = max(len(line["fsc"]) for line in rounds) - 1
    curves = [
        Curve(
            [shell / field for shell in range(len(line["fsc"]))],
            [float(value) for value in line["fsc"]],
            "newest" if line is rounds[-1] else "earlier",
        )
        for line in rounds
    ]
    places, labels = resolution_labels(last / field)
    across = Axis("resolution (Å)", 0.0, last / field, list(zip(places, labels, strict=True)))
    up = Axis("FSC", -0.05, 1.0, [(value, f"{value:g}") for value in (0, 0.2, 0.4, 0.6, 0.8, 1)])
    return chart("Fourier shell correlation over rounds", curves, across, up, (0.143,))


def turns_chart(turns: list[float]) -> str:
    """Median turns in degrees, one per round."""
    top = 1.1 * max(*turns, 0.1)
    up = Axis("degrees", 0.0, top, [(top * k / 4.4, f"{top * k / 4.4:.2g}°") for k in range(5)])
    return by_round("Median turn of the poses over rounds", turns, up)


def confidence_chart(confidence: list[float]) -> str:
    """Mean confidence, one per round."""
    up = Axis("confidence", 0.0, 1.0, [(value, f"{value:g}") for value in (0, 0.25, 0.5, 0.75, 1)])
    return by_round("Mean confidence in the poses over rounds", confidence, up)


def by_round(title: str, values: list[float], up: Axis) -> str:
    """One value per round, from round 1 on."""
    last = max(12, len(values))
    step = -(-last // 12)
    ticks = [(float(number), str(number)) for number in range(1, last + 1, step)]
    numbers = [float(number) for number in range(1, len(values) + 1)]
    across = Axis("round", 0.5, last + 0.5, ticks)
    return chart(title, [Curve(numbers, values, "newest")], across, up)
