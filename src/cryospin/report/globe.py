"""How the views of particles fill the sphere, as a small picture: an equal-area map, without a
graphics library (the final report's is in report.figures).
"""

from __future__ import annotations

import numpy as np

from cryospin.report.png import png

# views per cell, where they are evenly spread, and rows of cells
_PER_CELL, _ROWS = 10, (6, 24)
_HEIGHT = 120
# of 0, 1, 2 and 3 times an even spread: the colours of report.figures.HEAT
_COLOURS = np.array([[243, 246, 250], [139, 184, 224], [43, 102, 173], [22, 51, 92]]) / 255


def direction_counts(directions: np.ndarray) -> np.ndarray:
    """Unit vectors (n, 3) counted in cells of equal area (rows, 2 rows): z down the rows from 1
    to -1, longitude along them from -pi to pi."""
    rows = int(np.clip(np.sqrt(len(directions) / _PER_CELL / 2), *_ROWS))
    longitude = np.arctan2(directions[:, 1], directions[:, 0])
    counts, _, _ = np.histogram2d(
        -directions[:, 2], longitude, bins=(rows, 2 * rows), range=((-1, 1), (-np.pi, np.pi))
    )
    return counts.astype(np.int64)


def filled(counts: np.ndarray) -> float:
    """The share of the cells that hold a view."""
    return float((counts > 0).mean())


def globe_picture(counts: np.ndarray) -> str:
    """Mollweide's map of the counts, relative to an even spread, as a PNG; outside it is clear.

    Backwards from report.figures.mollweide: sin u = y, pi sin(latitude) = 2u + sin 2u,
    longitude = pi x / (2 cos u).
    """
    y = 1 - (2 * np.arange(_HEIGHT)[:, None] + 1) / _HEIGHT
    x = (2 * np.arange(2 * _HEIGHT)[None, :] + 1) / _HEIGHT - 2
    u = np.arcsin(y)
    z = (2 * u + np.sin(2 * u)) / np.pi
    longitude = np.pi * x / (2 * np.cos(u))
    inside = np.abs(longitude) <= np.pi
    rows, columns = counts.shape
    row = np.clip(((1 - z) / 2 * rows).astype(int), 0, rows - 1)
    column = np.clip(((longitude / np.pi + 1) / 2 * columns).astype(int), 0, columns - 1)
    ratio = counts / max(counts.mean(), 1e-9)
    place = np.clip(ratio[row, column], 0, 3)
    before = np.minimum(place.astype(int), 2)
    part = (place - before)[..., None]
    colour = _COLOURS[before] * (1 - part) + _COLOURS[before + 1] * part
    return png(np.concatenate([colour, inside[..., None]], axis=-1))
