"""The picture of one particle's posterior: the whole sphere of views, and a zoom at its pose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cryospin.io.atomic import atomic_path
from cryospin.report.figures import (
    GREEN,
    HEAT,
    INK,
    MUTED,
    ORANGE,
    STYLE,
    graticule,
    mollweide,
)

_FLOOR = -40.0  # nats below the best: all the same to the eye in the zoom


@rc_context(STYLE)
def draw_posterior(
    path: Path,
    title: str,
    sphere: tuple[np.ndarray, np.ndarray],
    near: np.ndarray,
    reach_degrees: float,
    pose: np.ndarray,
    mates: np.ndarray,
    hypotheses: np.ndarray | None = None,
) -> Path:
    """Write a PNG.

    sphere: directions (v, 3) and their log-posterior, maximum 0. near: the log-posterior
    (g, g) over the gnomonic plane [x, y] at the pose. pose: (3, 3). mates, hypotheses: view
    directions (n, 3) to mark.
    """
    figure = Figure(figsize=(9.6, 3.9), dpi=150)
    figure.suptitle(title, size=11)
    globe = figure.add_axes((0.01, 0.16, 0.60, 0.70))
    zoom = figure.add_axes((0.69, 0.24, 0.27, 0.60))
    cells = _globe(globe, *sphere)
    _mark(globe, np.stack(mollweide(mates)))
    image = draw_zoom(zoom, near, reach_degrees)
    zoom.set_title("view directions around the pose (gnomonic)", size=9, color=MUTED)
    if hypotheses is not None:
        globe.plot(*mollweide(hypotheses), "x", color=GREEN, markersize=6, label="hypotheses")
        flat = gnomonic(hypotheses, pose, reach_degrees)
        zoom.plot(*flat, "x", color=GREEN, markersize=6)
    _mark(zoom, gnomonic(mates, pose, reach_degrees))
    globe.legend(loc="lower right", fontsize=8)
    for drawn, left, width in ((cells, 0.16, 0.30), (image, 0.715, 0.22)):
        scale = figure.add_axes((left, 0.10, width, 0.025))
        bar = figure.colorbar(drawn, cax=scale, orientation="horizontal")
        bar.outline.set_visible(False)
        bar.set_label("log-posterior below the best (nats)")
    with atomic_path(path) as temporary, open(temporary, "wb") as output:
        FigureCanvasAgg(figure).print_png(output, metadata={"Software": None})
    return path


def _globe(axes: Axes, directions: np.ndarray, values: np.ndarray):  # type: ignore[no-untyped-def]
    # cells side by side on the equal-area map, each of the same area: 2 x 1 ellipse, area 2 pi
    side_points = 0.60 * 9.6 * 72 / 4 * np.sqrt(2 * np.pi / len(directions)) * 1.15
    drawn = axes.scatter(
        *mollweide(directions),
        c=values,
        s=side_points**2,
        marker="s",
        cmap=HEAT,
        # the whole landscape: what rivals there are lies far below a sharp peak
        vmin=min(float(np.quantile(values, 0.01)), -1.0),
        vmax=0,
        linewidths=0,
    )
    for line in graticule():
        axes.plot(*mollweide(line), color=INK, alpha=0.18, linewidth=0.6)
    axes.set_aspect("equal")
    axes.set_xlim(-2.03, 2.03)
    axes.set_axis_off()
    return drawn


def draw_zoom(axes: Axes, near: np.ndarray, reach_degrees: float):  # type: ignore[no-untyped-def]
    """A log-posterior (g, g) over the gnomonic plane [x, y] at a pose; the image drawn."""
    drawn = axes.imshow(
        np.maximum(near.T, _FLOOR),
        origin="lower",
        extent=(-reach_degrees, reach_degrees, -reach_degrees, reach_degrees),
        cmap=HEAT,
        vmin=_FLOOR,
        vmax=0,
        interpolation="nearest",
    )
    axes.set_xlabel("tilt (degrees)", size=8)
    axes.grid(False)
    axes.set_xlim(-reach_degrees, reach_degrees)
    axes.set_ylim(-reach_degrees, reach_degrees)
    return drawn


def gnomonic(directions: np.ndarray, pose: np.ndarray, reach_degrees: float) -> np.ndarray:
    """(2, n) places on the plane that touches the sphere at the pose's view; degrees at its
    rim are true. The far side is left out (NaN)."""
    x, y, z = pose @ directions.T
    ahead = z > 0.5
    scale = reach_degrees / np.tan(np.radians(reach_degrees))
    safe = np.where(ahead, z, 1.0)
    return np.where(ahead, np.stack([x, y]) / safe * scale, np.nan)


def _mark(axes: Axes, places: np.ndarray) -> None:
    """The run's pose is the first of them."""
    axes.plot(
        *places[:, :1], "o", mfc="none", mec=ORANGE, mew=1.8, markersize=10, label="the run's pose"
    )
    if places.shape[1] > 1:
        axes.plot(
            *places[:, 1:], "D", mfc="none", mec=ORANGE, mew=1.0, markersize=6, label="its mates"
        )
