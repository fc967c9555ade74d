"""The charts of a variability report: where particles lie along the components, and how far the
half-sets agree on these."""

from __future__ import annotations

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from cryospin.report.figures import (
    BLUE,
    GREEN,
    GREY,
    HEAT,
    INK,
    MUTED,
    ORANGE,
    SKY,
    STYLE,
    WIDTH_INCHES,
    new_axes,
    resolution_labels,
    svg,
)

_COLOURS = (BLUE, ORANGE, GREEN, SKY, GREY)
_RIM = 1.06  # of the farthest coordinates shown


@rc_context(STYLE)
def agreement_chart(curves: list[list[float]], field_angstrom: float) -> str:
    """FSC between the halves of each component; curves over shells 1, 2 ... of the box."""
    axes = new_axes(3.0)
    for number, curve in enumerate(curves, 1):
        frequency = np.arange(1, len(curve) + 1) / field_angstrom
        colour = _COLOURS[(number - 1) % len(_COLOURS)]
        axes.plot(frequency, curve, color=colour, linewidth=2.0, label=f"component {number}")
    right = max(len(curve) for curve in curves) / field_angstrom
    axes.axhline(0.5, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set_xlim(0, right)
    axes.set_ylim(min(-0.1, min(min(curve) for curve in curves)), 1.04)
    axes.set_xticks(*resolution_labels(right))
    axes.set_xlabel("resolution (Å)")
    axes.set_ylabel("Fourier shell correlation")
    axes.legend(loc="best", frameon=False)
    return svg(axes)


@rc_context(STYLE)
def coordinates_chart(first: np.ndarray, second: np.ndarray, names: tuple[str, str]) -> str:
    """How many particles lie where along two components, (n,) each."""
    reach = _reach(np.stack([first, second]))
    axes = new_axes(4.2)
    axes.hexbin(
        first,
        second,
        gridsize=36,
        extent=(-reach, reach, -reach, reach),
        cmap=HEAT,
        linewidths=0.2,
    )
    axes.set_aspect("equal")
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.grid(False)
    return svg(axes)


@rc_context(STYLE)
def histograms_chart(coordinates: np.ndarray, frames: list[list[float]]) -> str:
    """Particles (n, m) along each component, and where along it the maps are shown."""
    count = coordinates.shape[1]
    reach = _reach(coordinates)
    height = 0.5 + 0.85 * count
    figure = Figure(figsize=(WIDTH_INCHES, height))
    each = (height - 0.5) / count / height
    axes = None
    for j in range(count):
        bottom = 1.0 - (j + 1) * each
        axes = figure.add_axes((0.115, bottom + 0.12 * each, 0.8, 0.8 * each))
        axes.hist(coordinates[:, j], bins=np.linspace(-reach, reach, 61), color=SKY)
        for place in frames[j]:
            axes.axvline(place, color=ORANGE, linewidth=1.2)
        axes.set_xlim(-reach, reach)
        axes.set_yticks([])
        axes.set_ylabel(f"{j + 1}", rotation=0, labelpad=12, color=MUTED)
        if j + 1 < count:
            axes.set_xticklabels([])
    assert axes is not None
    axes.set_xlabel("coordinate (standard deviations)")
    return svg(axes)


def _reach(coordinates: np.ndarray) -> float:
    return _RIM * max(1.0, float(np.quantile(np.abs(coordinates), 0.998)))
