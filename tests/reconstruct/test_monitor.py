from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from cryospin.reconstruct.monitor import Monitor


def test_stages_add_up_and_are_logged(tmp_path: Path) -> None:
    monitor = Monitor(log=tmp_path / "log.jsonl")
    for _ in range(2):
        with monitor.stage("explore"):
            time.sleep(0.02)
    with monitor.stage("refine"):
        monitor.log(event="round", radius=12.5)
    assert list(monitor.seconds) == ["explore", "refine"]
    assert 0.04 <= monitor.seconds["explore"] < 2.0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["event"]) for line in lines] == [
        *[("explore", "begin"), ("explore", "stage")] * 2,
        *[("refine", "begin"), ("refine", "round"), ("refine", "stage")],
    ]
    assert lines[5]["radius"] == 12.5
    assert all(line["time"].startswith("20") and line["seconds"] >= 0 for line in lines)
    assert [line["seconds"] for line in lines] == sorted(line["seconds"] for line in lines)


def test_the_log_is_there_after_each_line(tmp_path: Path) -> None:
    """A run that is killed leaves what it had told."""
    monitor = Monitor(log=tmp_path / "log.jsonl")
    for count in (1, 2, 3):
        monitor.log(event="something")
        assert len((tmp_path / "log.jsonl").read_text().splitlines()) == count


def test_a_stage_that_fails_is_timed_and_left(tmp_path: Path) -> None:
    monitor = Monitor(log=tmp_path / "log.jsonl")
    with pytest.raises(KeyError), monitor.stage("read"):
        raise KeyError("gone")
    monitor.log(event="after")
    stages = [
        json.loads(line)["stage"] for line in (tmp_path / "log.jsonl").read_text().splitlines()
    ]
    assert stages == ["read", "read", "start"] and "read" in monitor.seconds


def test_progress_is_passed_on() -> None:
    told: list[tuple[str, int, int]] = []
    Monitor(lambda *step: told.append(step)).progress("read", 3, 10)
    assert told == [("read", 3, 10)]
    quiet = Monitor()
    quiet.progress("read", 3, 10)
    quiet.log(event="nowhere")


def test_agreement_is_told_in_angstrom(tmp_path: Path) -> None:
    heard: list[dict[str, object]] = []
    monitor = Monitor(log=tmp_path / "log.jsonl", listeners=(heard.append,))
    monitor.log(event="joined", agreement_radius=8.0)
    monitor.begin(64, 2.0, particles=10)
    monitor.log(event="joined", agreement_radius=8.0)
    monitor.log(event="round", radius=20.0, limit=16.0)
    monitor.log(event="joined", agreement_radius=0.0)
    told = [line.get("resolution_angstrom") for line in heard]
    assert told == [None, None, 16.0, 8.0, None]
    assert heard == [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]


def test_what_there_is_to_see_costs_nothing_unless_somebody_looks() -> None:
    def look() -> None:
        raise AssertionError("nobody asked")

    Monitor().show("map", 1, look)
    seen: list[tuple[str, int]] = []
    Monitor(onlookers=(lambda kind, half, look: seen.append((kind, half)),)).show("map", 2, look)
    assert seen == [("map", 2)]
