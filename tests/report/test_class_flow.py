"""Bars of who is in which class: of the end, and round by round."""

from __future__ import annotations

from typing import Any

import pytest

from cryospin.report.class_flow import class_flow, pieces


def told(half: int, fractions: list[float], event: str = "fractions") -> dict[str, Any]:
    return {"event": event, "half": half, "fractions": fractions}


def names_and_percents(bar: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(piece["name"], piece["percent"]) for piece in bar]


def test_pieces_are_of_all_particles() -> None:
    found = pieces([0.6, 0.3])
    assert names_and_percents(found) == [("class 1", "60 %"), ("class 2", "30 %"), ("none", "10 %")]
    assert sum(each["share"] for each in found) == pytest.approx(1.0)
    assert len({each["colour"] for each in found}) == 3
    assert names_and_percents(pieces([0.25, 0.75])) == [("class 1", "25 %"), ("class 2", "75 %")]


def test_many_classes_have_colours_in_turn() -> None:
    assert len({piece["colour"] for piece in pieces([1 / 7] * 7)}) == 7
    assert len({piece["colour"] for piece in pieces([1 / 8] * 8)}) == 7


def test_a_bar_for_every_round_of_each_half() -> None:
    lines = [
        {"event": "begin", "stage": "classify"},
        told(2, [0.5, 0.5], "classified"),
        told(1, [0.4, 0.6], "classified"),
        told(1, [0.3, 0.7]),
        told(2, [0.2, 0.7]),
    ]
    first, second = class_flow(lines, by_size=False)
    assert [first["label"], second["label"]] == ["half-set 1", "half-set 2"]
    assert [bar[0]["percent"] for bar in first["rounds"]] == ["40 %", "30 %"]
    assert names_and_percents(second["rounds"][1])[-1] == ("none", "10 %")


def test_classes_that_are_searched_for_again_or_paired_are_another_story() -> None:
    lines = [told(half, [0.5, 0.5], "classified") for half in (1, 2)]
    lines += [told(half, [0.6, 0.4], "classified") for half in (1, 2)]
    lines += [{"event": "paired", "fractions": [[0.6, 0.4], [0.4, 0.6]]}, told(2, [0.3, 0.7])]
    first, second = class_flow(lines, by_size=False)
    assert [bar[0]["percent"] for bar in first["rounds"]] == ["60 %"]
    assert [bar[0]["percent"] for bar in second["rounds"]] == ["40 %", "30 %"]


def test_classes_of_a_run_that_has_ended_are_in_order_of_size() -> None:
    lines = [told(1, [0.6, 0.4]), told(2, [0.5, 0.5]), told(1, [0.2, 0.8]), told(2, [0.3, 0.7])]
    first, second = class_flow(lines, by_size=True)
    assert [bar[0]["percent"] for bar in first["rounds"]] == ["40 %", "80 %"]
    assert [bar[0]["percent"] for bar in second["rounds"]] == ["50 %", "70 %"]


def test_rounds_with_a_class_more_are_another_story() -> None:
    lines = [told(1, [0.5, 0.3, 0.2]), told(1, [0.6, 0.4]), told(1, [0.7, 0.3])]
    (found,) = class_flow(lines, by_size=True)
    assert [bar[0]["percent"] for bar in found["rounds"]] == ["60 %", "70 %"]
    assert class_flow([], by_size=True) == []
