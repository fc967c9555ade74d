"""Small line charts as SVG text within a page: they follow its colours, light or dark, and take
no time to draw. The final report's charts are in report.figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 520, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 12, 44


@dataclass(frozen=True)
class Curve:
    """Points joined by a line. look: a class of the page's style sheet. name: for the legend."""

    x: list[float]
    y: list[float]
    look: str
    name: str = ""


@dataclass(frozen=True)
class Axis:
    """From `first` to `last`, with a label, and ticks as (place, text)."""

    label: str
    first: float
    last: float
    ticks: list[tuple[float, str]]

    def place(self, value: float, begin: float, end: float) -> float:
        share = (value - self.first) / ((self.last - self.first) or 1.0)
        return begin + min(1.0, max(0.0, share)) * (end - begin)


def chart(title: str, curves: list[Curve], x: Axis, y: Axis, lines: tuple[float, ...] = ()) -> str:
    """The chart. lines: values of y that are drawn across. title: for who cannot see it."""
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def at(across: float, up: float) -> str:
        return f"{x.place(across, _LEFT, right):.1f},{y.place(up, bottom, _TOP):.1f}"

    box, words = f"0 0 {WIDTH} {HEIGHT}", escape(title)
    parts = [f'<svg class="curves" viewBox="{box}" role="img" aria-label="{words}">']
    for value, text in y.ticks:
        height = y.place(value, bottom, _TOP)
        parts.append(f'<path class="grid" d="M{_LEFT} {height:.1f}H{right}"/>')
        parts.append(
            f'<text x="{_LEFT - 8}" y="{height + 5:.1f}" class="end">{escape(text)}</text>'
        )
    for value in lines:
        height = y.place(value, bottom, _TOP)
        parts.append(f'<path class="line" d="M{_LEFT} {height:.1f}H{right}"/>')
    for value, text in x.ticks:
        across = x.place(value, _LEFT, right)
        parts.append(f'<text x="{across:.1f}" y="{bottom + 18}" class="mid">{escape(text)}</text>')
    middle = (_LEFT + right) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 5}" class="mid">{escape(x.label)}</text>')
    for curve in curves:
        points = " ".join(at(*point) for point in zip(curve.x, curve.y, strict=True))
        parts.append(f'<polyline class="{curve.look}" points="{points}"/>')
        if len(curve.x) < 2:
            parts += [
                f'<circle class="{curve.look}" r="4" cx="{point.split(",")[0]}" '
                f'cy="{point.split(",")[1]}"/>'
                for point in points.split()
            ]
    parts.append(_legend([curve for curve in curves if curve.name], bottom))
    return "".join([*parts, "</svg>"])


def _legend(curves: list[Curve], bottom: int) -> str:
    """At the left, below the middle, which curves that fall leave empty."""
    parts = []
    for row, curve in enumerate(curves):
        height = bottom - 62 - 19 * (len(curves) - 1 - row)
        parts.append(
            f'<path class="{curve.look}" d="M{_LEFT + 10} {height - 4}h24"/>'
            f'<text x="{_LEFT + 42}" y="{height}">{escape(curve.name)}</text>'
        )
    return "".join(parts)


def resolution_labels(last: float, spacing: float = 0.09) -> tuple[list[float], list[str]]:
    """Places and labels of round values in Angstrom on an axis in 1/Angstrom up to `last`.

    spacing: the least distance between two labels, as a fraction of the axis.
    """
    candidates = (100, 50, 30, 20, 15, 12, 10, 8, 7, 6, 5, 4.5, 4, 3.5, 3, 2.5, 2.2, 2, 1.8, 1.5)
    places: list[float] = []
    for place in (1 / resolution for resolution in candidates):
        if place <= last and (not places or place - places[-1] > spacing * last):
            places.append(place)
    return places, [f"{1 / place:g}" for place in places]
