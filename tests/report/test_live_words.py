"""A run at work in words: its phase, its numbers, its events."""

from __future__ import annotations

import pytest

from cryospin.report.live_words import (
    PHASES,
    event_in_words,
    events_in_words,
    live_tiles,
    phase_in_words,
    phases,
    steps,
)
from cryospin.report.told import Told
from report.live_runs import BEGUN, REFINING, line


def test_the_phase_comes_first_and_no_verdict_is_claimed() -> None:
    begun = phase_in_words(Told(BEGUN), None)
    assert begun["title"] == PHASES["audit"] and begun["mood"] == "plain"
    assert begun["sentence"].startswith("No verdict yet")
    refining = phase_in_words(Told(REFINING), None)
    assert "agree to 12.4 Å so far" in refining["sentence"] and "No verdict" in refining["sentence"]
    joined = phase_in_words(Told(REFINING[:-4]), None)
    assert "agree to 18.7 Å" in joined["sentence"]


@pytest.mark.parametrize(
    ("label", "mood"), [("converged", "good"), ("ambiguous", "doubt"), ("failed", "bad")]
)
def test_a_verdict_is_told_as_soon_as_it_is_there(label: str, mood: str) -> None:
    told = Told([*REFINING, line("verdict", 60.0, label=label, reasons=["one", "two"])])
    words = phase_in_words(told, None)
    assert words["title"].startswith(label.capitalize()) and words["mood"] == mood
    assert words["sentence"] == "one; two"


def test_a_run_that_stopped_says_why() -> None:
    words = phase_in_words(Told(REFINING), "It was interrupted.")
    assert words == {"title": "Stopped", "sentence": "It was interrupted.", "mood": "doubt"}


def test_tiles_have_the_numbers_one_looks_for() -> None:
    told = Told(REFINING)
    told.progress("refine", 3, 12)
    told.steps["refine"].passed.extend([(0.0, 0), (30.0, 3)])
    tiles = {tile["label"]: tile["value"] for tile in live_tiles(told, {"in use": 1_500_000_000})}
    assert tiles["half-maps agree to"] == "12.4 Å" and tiles["memory in use"] == "1.5 GB"
    assert tiles["set aside"] == "7" and tiles["particles"] == "3,000" and "time so far" in tiles
    assert {tile["label"] for tile in live_tiles(Told(), {})} == {"time so far"}


def test_every_stage_is_done_open_or_to_come() -> None:
    states = {phase["name"]: phase["state"] for phase in phases(Told(REFINING))}
    assert states["audit"] == states["explore"] == "done"
    assert states["refine"] == "open" and states["write"] == states["postprocess"] == "to come"
    begun = [{**BEGUN[0], "settings": {"classes": 3}}]
    assert {"classify", "refine classes"} <= {phase["name"] for phase in phases(Told(begun))}
    assert {phase["name"] for phase in phases(Told(begun))} <= set(PHASES)


def test_steps_tell_how_far_they_are() -> None:
    told = Told(BEGUN)
    told.progress("check images", 1500, 3000)
    assert steps(told) == [
        {"label": "check images", "share": 0.5, "done": "1,500 of 3,000", "left": ""}
    ]


def test_the_newest_events_come_first() -> None:
    told = events_in_words(Told(REFINING))
    assert told[0]["words"] == "maps agree to 12.4 Å, poses turned by 0.67°"
    assert [each["time"] for each in told] == sorted((each["time"] for each in told), reverse=True)
    assert "images looked at: 7 set aside" in [each["words"] for each in told]


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (line("particle size", 1.0, diameter_angstrom=None), "the images do not tell its size"),
        (line("particle size", 1.0, diameter_angstrom=143.3), "143 Å across"),
        (line("classified", 1.0, half=2, fractions=[0.25, 0.75]), "25 %, 75 %"),
        (
            line("evidence", 1.0, gap=-70.1, error=9.2),
            "differs by 70.1 nats an image, give or take 9.2",
        ),
        (line("class", 1.0, number=1, particles=1200), "class 1: 1,200 particles"),
        (line("of another version", 1.0), "of another version"),
        # a field is lacking, as in the log of an older version
        (line("explored", 1.0), "explored"),
    ],
)
def test_events_in_words(event: dict[str, object], words: str) -> None:
    assert words in event_in_words(event)
