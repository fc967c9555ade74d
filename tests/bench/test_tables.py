"""Rows as words."""

from __future__ import annotations

import numpy as np
import pytest

from cryospin.bench.speed import PoseCost, Speed
from cryospin.bench.tables import (
    NONE,
    Table,
    cost_table,
    epoch_seconds,
    number,
    outcome,
    pose_cost_table,
    speed_table,
)
from cryospin.bench.watched import Watched


def test_markdown() -> None:
    table = Table(("a", "b"), (("1", "2"),))
    assert table.markdown() == "| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.parametrize(("value", "words"), [(None, NONE), (float("nan"), NONE), (1.234, "1.23")])
def test_numbers_that_are_none(value: float | None, words: str) -> None:
    assert number(value) == words


@pytest.mark.parametrize(
    ("code", "over", "words"),
    [
        (0, None, "converged"),
        (4, None, "not converged"),
        (None, 2.5, "over 2.5 minutes"),
        (-9, None, "failed, exit code -9"),
    ],
)
def test_how_a_run_ended(code: int | None, over: float | None, words: str) -> None:
    assert outcome({"exit": code, "over_minutes": over}) == words


def test_seconds_of_an_epoch_leave_out_the_first(watched: Watched) -> None:
    slow_start = Watched(
        **{
            **vars(watched),
            "seconds": np.array([30.0, 40.0, 42.0]),
            "stages": ("encoder", "encoder", "direct"),
        }
    )
    assert epoch_seconds(slow_start) == {"encoder": 10.0, "direct": 2.0}
    ((*_, costs, parameters, _), none) = cost_table({"a": slow_start, "b": None}).rows
    assert costs == "encoder 66.7; direct 13.3" and parameters == "encoder 1,000; volume 200"
    assert none[1] == "has none"


def test_speeds() -> None:
    assert speed_table([Speed("x", 10.0, 2.0)]).rows == (("x", "10", "2", "5.0"),)
    assert pose_cost_table([PoseCost(1000, 0.01, 3.0)]).rows == (("1,000", "0.01", "10.0", "3.00"),)
