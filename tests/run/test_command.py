"""The command that is told asks for the same run: it is read back by the command line."""

from __future__ import annotations

import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from cryospin.cli.main import main
from cryospin.run.command import command_of
from cryospin.run.finished import Run
from cryospin.run.job import Job, Options
from cryospin.run.reconstruct import reconstruct

ASKED: list[dict[str, Any]] = [
    {},
    {"seed": 7, "symmetry": "D7", "max_resolution_angstrom": 8.5, "threads": 2},
    {"classes": 3, "junk": False, "particle_diameter_angstrom": 150.0, "batch_size": 200},
    {"classes": "auto", "deterministic": True, "allow_bad": True, "invert_contrast": "yes"},
    {"initial_map": Path("a map.mrc"), "initial_lowpass_angstrom": 20.0, "device": "cpu"},
    {"recipe": "cryospin", "max_shift_angstrom": 0.0},
    {"memory_gb": 12.5, "scratch": Path("a folder")},
]


def job_of(monkeypatch: pytest.MonkeyPatch, ask: Any) -> Job:
    """What a run would be made of."""
    jobs: list[Job] = []
    monkeypatch.setattr("cryospin.run.reconstruct.configure_threads", lambda threads: 1)

    def solve(job: Job, began: float) -> Run:
        jobs.append(job)
        return Run(job.out, "converged", job.out / "report.html", None)

    monkeypatch.setattr("cryospin.run.solve.solve", solve)
    ask()
    return jobs[0]


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: " ".join(asked) or "defaults")
def test_the_command_line_reads_it_back(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "of two words"
    first = job_of(monkeypatch, lambda: reconstruct("some particles.star", out, **asked))
    words = shlex.split(command_of(first.settings(), out))
    assert words[0] == "cryospin"

    def typed() -> None:
        with pytest.raises(SystemExit) as stop:
            main(words[1:])
        assert stop.value.code == 0

    second = job_of(monkeypatch, typed)
    assert second.options == first.options and second.out == out
    assert isinstance(second.options, Options) and second.particles == first.particles


def test_every_option_is_tried() -> None:
    """So that one that is new, and has another name on the command line, is found."""
    assert {name for asked in ASKED for name in asked} == {each.name for each in fields(Options)}


def test_defaults_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(monkeypatch, lambda: reconstruct("p.star", "run"))
    assert command_of(job.settings(), job.out) == "cryospin reconstruct p.star --out run"
