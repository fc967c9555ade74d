"""The benchmark's charts, after the paper's Figs. 2 to 6, as SVG files in the report's style."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from cryospin.bench.curves import Curves
from cryospin.bench.ledger import Row
from cryospin.io.atomic import atomic_path
from cryospin.report.figures import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MUTED,
    ORANGE,
    SKY,
    STYLE,
    resolution_labels,
)

_VIOLET, _SAND, _BROWN, _ROSE, _LIME = "#a98fc4", "#c9b458", "#7f5539", "#c4506a", "#8aa83e"
# one colour per recipe in every figure of every benchmark
COLOURS = {
    "exhaustive": GREEN,
    "cryospin": BLUE,
    "cryospin-paper": ORANGE,
    "amortized": _ROSE,
    "cryoai": _VIOLET,
    "cryoai-explicit": SKY,
    "cryoposenet": _SAND,
    "branch-and-bound": _BROWN,
    "common-lines": _LIME,
}
HEAD_COLOURS = (BLUE, ORANGE, GREEN, _VIOLET, _SAND, _BROWN, _ROSE, SKY, GREY, _LIME)
ORACLE_LOOK = {"color": INK, "linewidth": 1.2, "linestyle": (0, (4, 2)), "label": "oracle"}


def colour_of(recipe: str) -> str:
    return COLOURS.get(recipe, GREY)


def write_svg(figure: Figure, path: Path) -> Path:
    output = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(output, metadata={"Date": None})
    with atomic_path(path) as temporary:
        temporary.write_bytes(output.getvalue())
    return path


def panels(count: int, width: float = 4.6, height: float = 3.6) -> tuple[Figure, list[Axes]]:
    """A row of equal axes; margins are fixed in inches."""
    figure = Figure(figsize=(width * count, height))
    left, right, bottom, top = 0.68, 0.2, 0.55, 0.35
    axes = [
        figure.add_axes(
            (
                (number * width + left) / (width * count),
                bottom / height,
                (width - left - right) / (width * count),
                (height - bottom - top) / height,
            )
        )
        for number in range(count)
    ]
    return figure, axes


@rc_context(STYLE)
def fsc_figure(rows: dict[str, list[Row]], oracles: dict[str, Row], path: Path) -> Path:
    """Fig. 2: FSC of each method's map to the truth, a panel per structure.

    rows: by the structure's title; oracles: their map summaries, with an `fsc`.
    """
    figure, axes = panels(len(rows))
    for place, (title, found) in zip(axes, rows.items(), strict=True):
        pixel, box = found[0]["pixel_size_angstrom"], found[0]["box"]
        drawn: set[str] = set()
        for row in found:
            if row["fsc"] is None:
                continue
            colour = colour_of(row["recipe"])
            label = None if row["recipe"] in drawn else row["recipe"]
            drawn.add(row["recipe"])
            look = "-" if row["exit"] == 0 else (0, (1, 1))
            curve = [1.0, *row["fsc"]]
            frequency = np.arange(len(curve)) / (box * pixel)
            place.plot(frequency, curve, color=colour, label=label, linestyle=look)
        if title in oracles:
            curve = [1.0, *oracles[title]["fsc"]]
            place.plot(np.arange(len(curve)) / (box * pixel), curve, **ORACLE_LOOK)
        place.axhline(0.5, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
        right = 0.5 / pixel
        place.set_xlim(0, right)
        place.set_ylim(-0.05, 1.04)
        place.set_xticks(*resolution_labels(right, spacing=0.12))
        place.set_xlabel("resolution (Å)")
        place.set_title(title, size=9.5, loc="left", color=INK)
        place.legend(loc="lower left")
    axes[0].set_ylabel("FSC to the truth (dotted: not converged)")
    return write_svg(figure, path)


@rc_context(STYLE)
def time_figure(
    curves: dict[str, Curves], ends: dict[str, Row], oracle: dict[str, float], path: Path
) -> Path:
    """Fig. 3: resolution (left) and median error (right) against the clock, by recipe.

    ends: the whole `reconstruct` of each recipe, a square; curves are explorers alone, on all
    images as one set. oracle: `fsc_0.5_angstrom` and `median`.
    """
    recipes = sorted({*curves, *ends})
    figure, (left, right) = panels(2)
    for name in recipes:
        colour = colour_of(name)
        label: str | None = name
        if name in curves:
            told = curves[name]
            left.plot(told.seconds, told.resolution_angstrom, ".-", color=colour, label=label)
            right.plot(told.seconds, told.median_degrees, ".-", color=colour, label=label)
            label = None
        if name in ends and ends[name]["median"] is not None:
            look = {"color": colour, "markersize": 8, "label": label}
            look |= {} if ends[name]["exit"] == 0 else {"mfc": "white"}
            if ends[name]["fsc_0.5_angstrom"] is not None:
                left.plot(ends[name]["seconds"], ends[name]["fsc_0.5_angstrom"], "s", **look)
            right.plot(ends[name]["seconds"], ends[name]["median"], "s", **look)
    for place, key, words in (
        (left, "fsc_0.5_angstrom", "resolution, FSC 0.5 to the truth (Å)"),
        (right, "median", "median rotation error (degrees)"),
    ):
        if oracle.get(key):
            place.axhline(oracle[key], **ORACLE_LOOK)
        place.set_xscale("log")
        place.set_yscale("log")
        plain_log_labels(place)
        place.set_xlabel("seconds (squares: whole run; open: not converged)")
        place.set_ylabel(words)
    left.legend()
    return write_svg(figure, path)


@rc_context(STYLE)
def epoch_figure(curves: dict[str, Curves], branch: int | None, path: Path) -> Path:
    """Fig. 4: error per epoch, semi- against fully amortised.

    branch: epochs the two have in common, to the last bit; None where they share none.
    """
    recipes = sorted(curves)
    figure, (left, right) = panels(2)
    for place, part in ((left, "mean_degrees"), (right, "median_degrees")):
        for name in recipes:
            values = getattr(curves[name], part)
            epochs = np.arange(1, len(values) + 1)
            place.plot(epochs, values, ".-", color=colour_of(name), label=name)
        if branch:
            place.axvline(branch, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
            place.text(
                branch,
                1.0,
                " same state until here",
                transform=place.get_xaxis_transform(),
                color=MUTED,
                size=8.5,
                va="bottom",
                ha="center",
            )
        place.set_yscale("log")
        plain_log_labels(place)
        place.xaxis.get_major_locator().set_params(integer=True)
        place.set_xlabel("epoch")
        place.set_ylabel(part.split("_")[0] + " rotation error (degrees)")
    left.legend()
    return write_svg(figure, path)


@rc_context(STYLE)
def switch_figure(fixed: dict[str, list[Row]], path: Path) -> Path:
    """Fig. 4 of one training's states: the encoder's own error and that after the direct stage.

    fixed: moments, by title; a panel for each.
    """
    figure, axes = panels(len(fixed))
    for place, (title, moments) in zip(axes, fixed.items(), strict=True):
        steps = [moment["step"] for moment in moments]
        for field, colour, words in (
            ("encoder_degrees", ORANGE, "fully amortised: the encoder's poses"),
            ("median_degrees", BLUE, "semi-amortised: after the direct stage"),
        ):
            errors = [moment[field] for moment in moments]
            place.plot(steps, errors, ".-", color=colour, label=words)
        place.set_yscale("log")
        plain_log_labels(place)
        place.set_xlabel("steps of the encoder")
        place.set_title(title, size=9.5, loc="left", color=INK)
    axes[0].set_ylabel("median rotation error (degrees)")
    axes[0].legend()
    return write_svg(figure, path)


def plain_log_labels(place: Axes) -> None:
    """1, 2, 5, 10 ... in place of powers, and no minor labels."""
    for axis in (place.xaxis, place.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.set_minor_formatter(NullFormatter())
