"""Charts: the projection's geometry, and that every chart is drawn from odd input."""

from __future__ import annotations

import base64
from xml.etree import ElementTree

import numpy as np
import pytest

from cryospin.report import figures
from cryospin.report.inputs import FscTable
from cryospin.report.surface import even_directions


def drawing_of(uri: str) -> str:
    """The SVG of a data URI, which must be well-formed."""
    kind, content = uri.split(",", 1)
    assert kind == "data:image/svg+xml;base64"
    text = base64.b64decode(content).decode()
    ElementTree.fromstring(text)
    return text


def test_mollweide_keeps_areas() -> None:
    x, y = figures.mollweide(even_directions(20_000))
    assert ((x / 2) ** 2 + y**2).max() <= 1 + 1e-9
    # an ellipse of half the axes has a quarter of the area, hence of the sphere
    assert np.mean((x / 2) ** 2 + y**2 < 0.25) == pytest.approx(0.25, abs=0.005)
    assert np.mean((x > 0) & (y > 0)) == pytest.approx(0.25, abs=0.005)


def test_mollweide_at_known_points() -> None:
    points = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1], [0, -1, 0]], dtype=float)
    x, y = figures.mollweide(points)
    np.testing.assert_allclose(x, [0, 1, 0, 0, -1], atol=0.01)
    np.testing.assert_allclose(y, [0, 0, 1, -1, 0], atol=0.01)


@pytest.mark.parametrize("count", [1, 100, 5000])
def test_directions_and_shifts_of_any_number(count: int) -> None:
    generator = np.random.default_rng(count)
    directions = generator.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert "even spread" in drawing_of(figures.direction_chart(directions))
    assert "shift x (Å)" in drawing_of(figures.shift_chart(generator.normal(size=(count, 2))))
    weights = np.full(count, 0.25)
    assert "median 0.25" in drawing_of(figures.confidence_chart(weights))


@pytest.mark.parametrize(("largest", "shown"), [(0.0, "1.0"), (30.0, "30")])
def test_the_axes_reach_as_far_as_the_shifts(largest: float, shown: str) -> None:
    """One Angstrom where all are zero: axes of no length cannot be drawn."""
    text = drawing_of(figures.shift_chart(np.full((10, 2), largest)))
    assert f">{shown}<" in text or f"<!-- {shown} -->" in text


def test_fsc_labels_its_crossings() -> None:
    frequency = np.arange(1, 20) / 80
    curve = np.linspace(1, 0, 19)
    table = FscTable(frequency, {"corrected": curve, "masked": curve})
    text = drawing_of(figures.fsc_chart(table, {0.143: 4.9, 0.5: None}))
    assert "4.9 Å" in text
    assert "unmasked" not in text
    assert "map to truth" in drawing_of(figures.fsc_chart(table, {0.143: 4.9}, list(curve)))


def test_starts_of_both_halves() -> None:
    text = drawing_of(figures.starts_chart({"half 1": [0.1, 0.2], "half 2": [0.3]}))
    assert "half 1" in text and "half 2" in text


def test_one_round_is_drawn() -> None:
    assert "round of refinement" in drawing_of(figures.rounds_chart([0.1], [0.12]))


def test_grey_levels_of_a_constant_picture() -> None:
    assert np.isfinite(figures.grey_levels(np.ones((4, 4)))).all()
