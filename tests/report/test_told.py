"""What a run has told so far is put together from its events, in any order they come."""

from __future__ import annotations

import pytest

from cryospin.report.told import Step, Told
from report.live_runs import BEGUN, REFINING, line


def told_of(lines: list[dict[str, object]]) -> Told:
    told = Told()
    for each in lines:
        told.hear(each)
    return told


def test_the_open_stage_is_known() -> None:
    assert Told().stage == "start"
    assert told_of(BEGUN).stage == "audit"
    told = told_of(REFINING)
    assert told.stage == "refine" and told.open == ["refine"]


def test_the_result_so_far() -> None:
    result = told_of(REFINING).result()
    assert result["particles"] == 3000 and len(result["refine"]) == 3
    assert result["explore"] == {"half1": [{"score": 1.25}, {"score": 2.5}]}
    assert result["agreement_angstrom"] == pytest.approx(64 * 3.5 / 18)
    assert result["settings"]["screening"]["rejected"] == 7


def test_an_open_stage_lasts_until_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 1000.0)
    told = told_of(BEGUN)
    monkeypatch.setattr("time.monotonic", lambda: 1060.0)
    assert told.seconds_in_all() == pytest.approx(60.1)
    assert told.result()["seconds"] == {"audit": pytest.approx(59.9)}


def test_a_continued_run_keeps_what_was_told_and_starts_anew() -> None:
    told = Told(REFINING)
    told.progress("refine", 3, 12)
    told.hear(BEGUN[0])
    assert told.open == [] and told.steps == {}
    assert min(Told(REFINING).result()["seconds"].values()) >= 0
    assert len(told.result()["refine"]) == 3
    assert told.last("round") == REFINING[-1] and told.last("verdict") is None


def test_a_spoilt_log_is_continued_with_what_it_has() -> None:
    told = Told([*REFINING, {"event": "run"}, {"event": "explored", "half": 1}, {"event": "round"}])
    assert told.result()["particles"] == 3000


def test_steps_are_of_the_open_stage() -> None:
    told = told_of(BEGUN)
    told.progress("check images", 10, 100)
    assert told.steps["check images"].done == 10
    told.hear(line("stage", 4.0, "audit", took=4.0))
    assert told.steps == {}


def test_the_time_left_is_of_the_rate_of_late() -> None:
    step = Step("explore", 30, 50)
    assert step.seconds_left() is None
    step.passed.extend([(0.0, 10), (10.0, 20), (30.0, 30)])
    assert step.seconds_left() == pytest.approx(20 * 30 / 20)
    step.done = 50
    assert step.seconds_left() is None
    still = Step("assign", 0, 5)
    still.passed.extend([(0.0, 0), (9.0, 0)])
    assert still.seconds_left() is None
