"""Charts as SVG: points where they belong, text escaped, valid XML."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from cryospin.report.curves import HEIGHT, WIDTH, Axis, Curve, chart, resolution_labels

X = Axis("x <&>", 0.0, 10.0, [(0.0, "0"), (10.0, "ten")])
Y = Axis("y", 0.0, 1.0, [(0.0, "0"), (1.0, "1")])


def points(text: str) -> list[list[float]]:
    line = ElementTree.fromstring(text).find("polyline")
    assert line is not None
    return [[float(part) for part in point.split(",")] for point in line.attrib["points"].split()]


def test_points_lie_between_the_axes_ends() -> None:
    drawn = points(chart("a <title>", [Curve([0.0, 5.0, 10.0], [0.0, 1.0, 0.5], "newest")], X, Y))
    (left, bottom), (middle, top), (right, half) = drawn
    assert 0 < left < right < WIDTH and 0 < top < bottom < HEIGHT
    assert middle == pytest.approx((left + right) / 2, abs=0.1)
    assert half == pytest.approx((bottom + top) / 2, abs=0.1)


def test_what_lies_beyond_is_drawn_at_the_edge() -> None:
    inside = points(chart("t", [Curve([0.0, 10.0], [0.0, 1.0], "newest")], X, Y))
    assert points(chart("t", [Curve([-5.0, 20.0], [-1.0, 3.0], "newest")], X, Y)) == inside


def test_one_point_is_a_dot_and_names_make_a_legend() -> None:
    text = chart("t", [Curve([5.0], [0.5], "newest", "half <1>")], X, Y, (0.5,))
    tree = ElementTree.fromstring(text)
    assert tree.find("circle") is not None
    assert [each.text for each in tree.iter("text")].count("half <1>") == 1
    assert len([each for each in tree.iter("path") if each.attrib["class"] == "line"]) == 1


def test_an_axis_without_length_divides_by_nothing() -> None:
    assert Axis("x", 1.0, 1.0, []).place(1.0, 10.0, 20.0) == 10.0


def test_resolution_labels_are_round_and_apart() -> None:
    places, labels = resolution_labels(0.25)
    assert labels[-1] == "4"
    np.testing.assert_allclose([float(label) for label in labels], 1 / np.array(places))
    assert np.diff(places).min() > 0.09 * 0.25
