"""Charts of an encoder's heads on the view sphere, after the paper's Figs. 5 and 6."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cryospin.bench.curves import Heads
from cryospin.bench.figures import HEAD_COLOURS, write_svg
from cryospin.report.figures import HEAT, INK, STYLE, graticule, mollweide


@rc_context(STYLE)
def heads_figure(heads: Heads, path: Path, images: int = 3) -> Path:
    """Fig. 5: share of the images per head, and some images' candidates on the view sphere.

    Crosses are the true view directions; the winner's candidate has a ring.
    """
    count = len(heads.share)
    bars, globes, height = 3.3, 3.0, 2.2  # inches
    width = bars + globes * images
    figure = Figure(figsize=(width, height))
    axes = [figure.add_axes((0.6 / width, 0.24, (bars - 0.9) / width, 0.68))]
    axes += [
        figure.add_axes(((bars + globes * image) / width, 0.02, 0.96 * globes / width, 0.85))
        for image in range(images)
    ]
    colours = [HEAD_COLOURS[head % len(HEAD_COLOURS)] for head in range(count)]
    axes[0].bar(range(1, count + 1), 100 * heads.share, color=colours)
    axes[0].set_xlabel("head")
    axes[0].set_ylabel("images won (%)")
    axes[0].grid(axis="x", visible=False)
    axes[0].set_xticks(range(1, count + 1))
    # the first images: simulated in random order, so any are as good as any
    for number, place in enumerate(axes[1:]):
        globe(place)
        x, y = mollweide(heads.directions[number])
        place.scatter(x, y, c=colours, s=26, zorder=3)
        winner = heads.winners[number]
        place.plot(x[winner], y[winner], "o", mfc="none", mec=INK, markersize=9, zorder=4)
        place.plot(*mollweide(heads.true_directions[number][None]), "x", color=INK, zorder=5)
        place.set_title(f"image {number + 1}", size=9.5, loc="left", color=INK)
    return write_svg(figure, path)


@rc_context(STYLE)
def head_error_figure(heads: Heads, path: Path) -> Path:
    """Fig. 6: error of every image's candidate from each head, over the true view sphere."""
    count = len(heads.share)
    columns = min(4, count)
    lines = -(-count // columns)
    figure = Figure(figsize=(2.9 * columns, 1.75 * lines + 0.7))
    height = 1.75 * lines + 0.7
    for head in range(count):
        line, column = divmod(head, columns)
        place = figure.add_axes(
            (
                (column + 0.03) / columns,
                (0.7 + 1.75 * (lines - 1 - line) + 0.02) / height,
                0.94 / columns,
                1.45 / height,
            )
        )
        globe(place)
        x, y = mollweide(heads.true_directions)
        cells = place.hexbin(
            x,
            y,
            C=heads.errors_degrees[:, head],
            reduce_C_function=np.median,
            gridsize=(24, 7),
            extent=(-2, 2, -1, 1),
            cmap=HEAT.reversed(),
            vmin=0,
            vmax=180,
            linewidths=0.2,
            zorder=0,
        )
        title = f"head {head + 1}: {100 * heads.share[head]:.0f} % of images"
        place.set_title(title, size=8.5, loc="left", color=INK)
    scale = figure.add_axes((0.3, 0.42 / height, 0.4, 0.09 / height))
    bar = figure.colorbar(cells, cax=scale, orientation="horizontal")
    bar.outline.set_visible(False)
    bar.set_label("median rotation error of the head's candidate (degrees)")
    return write_svg(figure, path)


def globe(place: Axes) -> None:
    """An empty equal-area map of the sphere."""
    for line in graticule():
        place.plot(*mollweide(line), color=INK, alpha=0.18, linewidth=0.6)
    place.set_aspect("equal")
    place.set_axis_off()
