"""The report's charts, each drawn on one small matplotlib figure and returned as a data URI.

Figures are made without pyplot: no global state, and half its import time.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from cryospin.report.curves import resolution_labels
from cryospin.report.inputs import FscTable
from cryospin.report.png import data_uri, grey_levels
from cryospin.report.surface import even_directions

INK, MUTED, GRID = "#1f2a37", "#6b7785", "#e3e8ee"
BLUE, ORANGE, GREEN, SKY, GREY = "#2b66ad", "#dd8330", "#3f9c8f", "#8bb8e0", "#b4bdc8"
HEAT = LinearSegmentedColormap.from_list("heat", ["#f3f6fa", SKY, BLUE, "#16335c"])
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Inter", "Helvetica Neue", "Arial", "DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.fontsize": 8.5,
    "legend.edgecolor": "none",
    # text stays text: small files, and the reader's own fonts
    "svg.fonttype": "none",
    # reports of the same run are the same file
    "svg.hashsalt": "cryospin",
}
WIDTH_INCHES = 5.6


def new_axes(height_inches: float = 3.5, bottom_inches: float = 0.5) -> Axes:
    """The one pair of axes of a new figure; fixed margins, for an automatic layout draws twice."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches))
    bottom = bottom_inches / height_inches
    return figure.add_axes((0.115, bottom, 0.8, 1.0 - bottom - 0.08 / height_inches))


def svg(axes: Axes) -> str:
    output = io.BytesIO()
    figure = axes.get_figure(root=True)
    # the page's own ground shows through, light or dark
    for patch in (figure.patch, *(each.patch for each in figure.axes)):
        patch.set_alpha(0.0)
    FigureCanvasSVG(figure).print_svg(output, metadata={"Date": None})
    return data_uri("svg+xml", output.getvalue())


@rc_context(STYLE)
def fsc_chart(
    table: FscTable,
    crossings_angstrom: dict[float, float | None],
    truth: list[float] | None = None,
) -> str:
    """Curves over frequency, with the thresholds and where the corrected curve crosses them.

    truth: FSC of the map to the true one, on the same shells, where there is a true one.
    """
    looks = {
        "unmasked": {"color": GREY, "linewidth": 1.4},
        "phase-randomised": {"color": ORANGE, "linewidth": 1.4, "linestyle": (0, (4, 2))},
        # below the corrected curve, and wide enough to be seen where they are the same
        "masked": {"color": SKY, "linewidth": 4.5, "alpha": 0.7},
        "corrected": {"color": BLUE, "linewidth": 2.4},
    }
    axes = new_axes()
    for name, look in looks.items():
        if name in table.curves:
            axes.plot(table.frequency, table.curves[name], label=name, **look)
    if truth is not None and len(truth) == len(table.frequency):
        axes.plot(table.frequency, truth, label="map to truth", color=GREEN, linewidth=1.6)
    right = float(table.frequency[-1])
    for threshold, crossing in crossings_angstrom.items():
        axes.axhline(threshold, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.text(right * 1.01, threshold, f"{threshold:g}", va="center", color=MUTED, size=9)
        if crossing is not None and 1 / crossing <= right:
            axes.plot(1 / crossing, threshold, "o", color=BLUE, markersize=7, mec="white")
            axes.annotate(
                f"{crossing:.1f} Å",
                (1 / crossing, threshold),
                xytext=(-7, -4) if 1 / crossing > 0.85 * right else (8, 6),
                ha="right" if 1 / crossing > 0.85 * right else "left",
                textcoords="offset points",
                color=BLUE,
                weight="bold",
            )
    axes.set_xlim(0, right)
    axes.set_ylim(min(-0.08, *(float(c.min()) for c in table.curves.values())), 1.04)
    axes.set_xticks(*resolution_labels(right))
    axes.set_xlabel("resolution (Å)")
    axes.set_ylabel("Fourier shell correlation")
    half = crossings_angstrom.get(0.5)
    if half is not None and 1 / half > 0.5 * right:
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 0.2), frameon=False)
    else:
        axes.legend(loc="upper right", frameon=False)
    return svg(axes)


def mollweide(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal-area map of unit vectors (n, 3): x in [-2, 2], y in [-1, 1].

    Snyder (1987), Map Projections, eq. 31-1 to 31-3: 2u + sin 2u = pi sin(latitude), here by
    Newton's iteration on both sides' sines, which converges except at the poles themselves.
    """
    latitude = np.arcsin(np.clip(directions[:, 2], -1, 1))
    longitude = np.arctan2(directions[:, 1], directions[:, 0])
    u = latitude.copy()
    for _ in range(12):
        slope = np.maximum(2 + 2 * np.cos(2 * u), 1e-9)
        u -= (2 * u + np.sin(2 * u) - np.pi * np.sin(latitude)) / slope
        u = np.clip(u, -np.pi / 2, np.pi / 2)
    return 2 / np.pi * longitude * np.cos(u), np.sin(u)


def graticule() -> list[np.ndarray]:
    """Lines (n, 3) of the globe: meridians 60 degrees apart, parallels 30 degrees apart."""
    lines = []
    sweep = np.linspace(-np.pi / 2 + 1e-3, np.pi / 2 - 1e-3, 61)
    for longitude in np.deg2rad([-179.99, -120, -60, 0, 60, 120, 179.99]):
        flat = np.cos(sweep)
        lines.append((flat * np.cos(longitude), flat * np.sin(longitude), np.sin(sweep)))
    for latitude in np.deg2rad([-60, -30, 0, 30, 60]):
        flat = np.cos(latitude) * np.ones(121)
        around = np.linspace(-np.pi + 1e-3, np.pi - 1e-3, 121)
        lines.append((flat * np.cos(around), flat * np.sin(around), np.sin(latitude) + 0 * flat))
    return [np.stack(line, axis=1) for line in lines]


@rc_context(STYLE)
def direction_chart(directions: np.ndarray) -> str:
    """How often each direction was viewed, relative to an even spread, on the whole globe."""
    # hexagons hold a dozen particles on average, as far as the eye can tell them apart; the
    # lattice of hexbin has two per grid point, and the ellipse pi/4 of its bounding box
    columns = int(np.clip(np.sqrt(len(directions) / 12 * 4 * np.sqrt(3) / np.pi), 12, 44))
    rows = round(columns / (2 * np.sqrt(3)))
    grid = {"gridsize": (columns, rows), "extent": (-2, 2, -1, 1)}
    axes = new_axes(3.3, bottom_inches=0.75)
    cells = axes.hexbin(*mollweide(directions), cmap=HEAT, linewidths=0.2, **grid)
    # counting an even spread on the same hexagons makes up for those the rim cuts
    even = axes.hexbin(*mollweide(even_directions(40_000)), **grid)
    expected = np.asarray(even.get_array()) * len(directions) / 40_000
    even.remove()
    # slivers of hexagons at the rim would be all chance
    whole = expected > 0.3 * expected.max()
    ratio = np.where(whole, cells.get_array() / np.maximum(expected, 1e-9), np.nan)
    cells.set_array(np.ma.masked_invalid(ratio))
    cells.set_clim(0, max(2.0, float(np.nanquantile(ratio, 0.99))))
    for line in graticule():
        axes.plot(*mollweide(line), color=INK, alpha=0.18, linewidth=0.6)
    axes.set_aspect("equal")
    axes.set_axis_off()
    scale = axes.figure.add_axes((0.25, 0.17, 0.5, 0.025))
    bar = axes.figure.colorbar(cells, cax=scale, orientation="horizontal")
    bar.outline.set_visible(False)
    bar.set_label("views, relative to an even spread")
    return svg(axes)


@rc_context(STYLE)
def shift_chart(shifts_angstrom: np.ndarray) -> str:
    """Particles' displacements from their box centres."""
    reach = max(1.0, float(np.quantile(np.abs(shifts_angstrom), 0.998))) * 1.05
    axes = new_axes()
    axes.hexbin(
        *shifts_angstrom.T,
        gridsize=26,
        extent=(-reach, reach, -reach, reach),
        cmap=HEAT,
        linewidths=0.2,
    )
    axes.set_aspect("equal")
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_xlabel("shift x (Å)")
    axes.set_ylabel("shift y (Å)")
    axes.grid(False)
    return svg(axes)


@rc_context(STYLE)
def confidence_chart(confidence: np.ndarray) -> str:
    axes = new_axes()
    axes.hist(confidence, bins=np.linspace(0, 1, 41), color=SKY, edgecolor="white")
    median = float(np.median(confidence))
    axes.axvline(median, color=BLUE, linewidth=1.6)
    axes.text(
        median,
        0.995,
        f" median {median:.2f} ",
        transform=axes.get_xaxis_transform(),
        ha="left" if median < 0.6 else "right",
        va="top",
        color=BLUE,
        weight="bold",
    )
    axes.margins(y=0.12)
    axes.set_xlim(0, 1)
    axes.set_xlabel("weight of the particle's best pose")
    axes.set_ylabel("particles")
    axes.grid(axis="x", visible=False)
    return svg(axes)


@rc_context(STYLE)
def size_chart(evidence: dict[str, np.ndarray], particle: dict[str, Any]) -> str:
    """The mean image with the circles of particle and mask, and how much pixels vary by radius.

    evidence: the arrays of particle.npz. particle: the diameters of result.json.
    """
    circles: list[tuple[str, float | None, dict[str, Any]]] = [
        ("particle", particle.get("diameter_angstrom"), {"color": ORANGE}),
        ("mask", particle.get("mask_diameter_angstrom"), {"color": BLUE, "linestyle": "dashed"}),
    ]
    figure = Figure(figsize=(WIDTH_INCHES, 2.7))
    picture = figure.add_axes((0.0, 0.19, 0.41, 0.77))
    half = float(evidence["box_angstrom"]) / 2
    grey = grey_levels(evidence["mean_image"])
    picture.imshow(grey, cmap="gray", origin="lower", extent=(-half, half, -half, half))
    rings = figure.add_axes((0.52, 0.19, 0.42, 0.77))
    rings.plot(evidence["radius_angstrom"], evidence["variance"], color=GREEN, linewidth=1.8)
    rings.axhline(0, color=GREY, linewidth=0.8)
    for name, diameter, look in circles:
        if diameter is not None:
            picture.add_patch(Circle((0, 0), diameter / 2, fill=False, linewidth=1.8, **look))
            rings.axvline(diameter / 2, label=name, **look)
    picture.set_xlim(-half, half)
    picture.set_ylim(-half, half)
    picture.set_axis_off()
    rings.set_xlim(0, half)
    rings.set_xlabel("radius (Å)")
    rings.set_ylabel("variance above background")
    rings.legend(loc="best", frameon=False)
    return svg(rings)


@rc_context(STYLE)
def starts_chart(scores: dict[str, list[float]]) -> str:
    """Scores of the independent starts of each half-set; the best of each is filled."""
    axes = new_axes(0.75 + 0.38 * len(scores))
    for row, values in enumerate(scores.values()):
        best = max(values)
        axes.plot(values, [row] * len(values), "o", mfc="white", mec=BLUE, markersize=9)
        axes.plot(best, row, "o", color=BLUE, markersize=9)
    axes.set_yticks(range(len(scores)), list(scores))
    axes.set_ylim(len(scores) - 0.5, -0.5)
    axes.set_xlabel("score on held-out images (higher is better)")
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.12)
    return svg(axes)


@rc_context(STYLE)
def rounds_chart(searched: list[float], agreed: list[float]) -> str:
    """Frequencies (1/Angstrom) of each round: the finest used, and where the half-maps agree."""
    rounds = range(1, len(agreed) + 1)
    axes = new_axes(2.3)
    axes.plot(rounds, searched, "o-", color=GREY, markersize=4, label="detail used for poses")
    axes.plot(rounds, agreed, "o-", color=BLUE, markersize=5, label="half-maps agree to")
    top = 1.08 * max(*searched, *agreed)
    axes.set_ylim(0, top)
    axes.set_yticks(*resolution_labels(top, spacing=0.15))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("round of refinement")
    axes.set_ylabel("resolution (Å)")
    axes.legend(loc="lower right", frameon=False)
    return svg(axes)
