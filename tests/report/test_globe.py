"""Views on the sphere: counted in cells of equal area, pictured where they are."""

from __future__ import annotations

import base64
import io

import numpy as np
from matplotlib.image import imread

from cryospin.report.globe import direction_counts, filled, globe_picture
from cryospin.report.surface import even_directions


def picture_of(directions: np.ndarray) -> np.ndarray:
    uri = globe_picture(direction_counts(directions))
    return imread(io.BytesIO(base64.b64decode(uri.split(",")[1])))


def test_an_even_spread_fills_all_cells_evenly() -> None:
    counts = direction_counts(even_directions(20_000))
    assert counts.sum() == 20_000 and filled(counts) == 1.0
    assert counts.max() < 1.5 * counts.mean() and counts.min() > 0.5 * counts.mean()


def test_cells_follow_the_number_of_views() -> None:
    few, many = (direction_counts(even_directions(n)) for n in (20, 100_000))
    assert few.shape == (6, 12) and many.shape == (24, 48)


def test_views_are_dark_where_they_are() -> None:
    """z at the top, longitude 0 in the middle, growing to the right."""
    spread = np.random.default_rng(1).normal(size=(500, 3)) * 0.1
    for centre, (row, column) in {
        (0, 0, 1): (0.05, 0.5),
        (1, 0, 0): (0.5, 0.5),
        (0, 1, 0): (0.5, 0.75),
        (0, -1, 0): (0.5, 0.25),
        (0, 0, -1): (0.95, 0.5),
    }.items():
        directions = spread + np.array(centre)
        picture = picture_of(directions / np.linalg.norm(directions, axis=1, keepdims=True))
        height, width = picture.shape[:2]
        assert picture[int(row * height), int(column * width), 0] < 0.3, centre


def test_outside_of_the_ellipse_it_is_clear() -> None:
    picture = picture_of(even_directions(1000))
    assert picture[0, 0, 3] == 0 and picture[60, 120, 3] == 1
    np.testing.assert_allclose(picture[..., 3].mean(), np.pi / 4, atol=0.01)


def test_nothing_seen_yet() -> None:
    counts = direction_counts(np.empty((0, 3)))
    assert filled(counts) == 0.0 and globe_picture(counts).startswith("data:image/png")
