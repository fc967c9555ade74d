"""What is written at the start, and what is refused before anything is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from campaign_toys import DEFAULTS, launched, simulated
from cryospin.campaign.launch import launch
from cryospin.campaign.plan import ARRAY, CLAIMS, JOBS, JOIN, LOGS, read_campaign
from cryospin.campaign.slurm import Slurm
from cryospin.errors import BadDataError, CryospinError, UsageError


@pytest.fixture(scope="module")
def particles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("simulated"))


def test_a_campaign_is_written_and_nothing_is_computed(particles: Path, tmp_path: Path) -> None:
    campaign = launched(particles, tmp_path / "all", seeds=3, symmetry="C2")
    assert read_campaign(tmp_path / "all") == campaign
    assert [run.name for run in campaign.runs] == ["seed-1", "seed-2", "seed-3"]
    assert campaign.options["symmetry"] == "C2"
    written = {name for name in os.listdir(tmp_path / "all") if not name.startswith(".")}
    assert written == {JOBS, CLAIMS, LOGS}


def test_for_slurm_scripts_are_written_too(particles: Path, tmp_path: Path) -> None:
    launched(particles, tmp_path / "all", slurm=Slurm(cpus=2))
    for name in (ARRAY, JOIN):
        assert (tmp_path / "all" / name).read_text().startswith("#!/bin/bash\n")


def test_again_with_more_seeds_it_adds_jobs(particles: Path, tmp_path: Path) -> None:
    before = launched(particles, tmp_path / "all", classes=["auto"])
    link = tmp_path / "a link.star"
    link.symlink_to(particles)
    after = launched(link, tmp_path / "all", seeds=3, classes=["auto"], slurm=Slurm())
    assert after.runs[:2] == before.runs and len(after.runs) == 3
    assert "--array=1-3" in (tmp_path / "all" / ARRAY).read_text()
    # a script that was edited is nobody's hindrance, unless it is to be written anew
    (tmp_path / "all" / ARRAY).write_text("mine")
    assert launched(particles, tmp_path / "all", seeds=1, classes=["auto"]).runs == after.runs
    with pytest.raises(UsageError, match=r"array\.sh is in the way"):
        launched(particles, tmp_path / "all", classes=["auto"], slurm=Slurm())
    assert (tmp_path / "all" / ARRAY).read_text() == "mine"


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"seeds": 0}, UsageError, "seeds must be 1 to 1000, not 0"),
        ({"recipe": "magic"}, UsageError, "magic"),
        ({"symmetry": "Q7"}, UsageError, "Q7"),
        ({"classes": [1, 0]}, UsageError, "classes must be 1 to 50"),
        ({"classes": [1, 2]}, BadDataError, "120 particles are too few for 2 classes"),
        ({"max_resolution_angstrom": -1.0}, UsageError, "max_resolution_angstrom"),
        ({"initial_map": Path("none.mrc")}, BadDataError, "none.mrc"),
        ({"select_class": 1}, UsageError, "run with classes"),
        ({"particles": Path("none.star")}, BadDataError, "none.star"),
    ],
)
def test_what_a_run_refuses_is_refused_here(
    particles: Path, tmp_path: Path, asked: dict[str, Any], error: type[Exception], words: str
) -> None:
    given = {"particles": particles, "out": tmp_path / "all", "seeds": 2} | DEFAULTS | asked
    with pytest.raises(error, match=words):
        launch(**given)
    assert not (tmp_path / "all").exists()


def test_another_campaign_is_not_replaced(particles: Path, tmp_path: Path) -> None:
    launched(particles, tmp_path / "all")
    before = (tmp_path / "all" / JOBS).read_bytes()
    other = simulated(tmp_path / "other")
    for table, asked, words in (
        (particles, {"symmetry": "C3"}, "other --symmetry: C1, not C3\n  fix: "),
        (particles, {"max_shift_angstrom": 3.0}, "other --max-shift: None, not 3.0"),
        (other, {}, "with other particles"),
    ):
        with pytest.raises(UsageError, match=words):
            launched(table, tmp_path / "all", **asked)
    assert (tmp_path / "all" / JOBS).read_bytes() == before


def test_no_file_of_others_is_replaced(particles: Path, tmp_path: Path) -> None:
    with pytest.raises(CryospinError, match="is an input or holds one"):
        launched(particles, particles.parent)
    (tmp_path / JOBS).write_text("mine")
    with pytest.raises(UsageError, match="in the way"):
        launched(particles, tmp_path)
    assert (tmp_path / JOBS).read_text() == "mine"
