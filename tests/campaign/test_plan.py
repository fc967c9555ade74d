"""Jobs are read as they were written, and what is no campaign is refused with its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cryospin.campaign.plan import (
    JOBS,
    Campaign,
    PlannedRun,
    planned,
    read_campaign,
    write_campaign,
)
from cryospin.errors import BadDataError, UsageError
from cryospin.version import installed_version

OPTIONS: dict[str, Any] = {
    "recipe": "exhaustive",
    "junk": True,
    "symmetry": "C7",
    "particle_diameter_angstrom": None,
    "max_resolution_angstrom": 8.0,
    "max_shift_angstrom": None,
    "initial_map": None,
    "initial_lowpass_angstrom": 30.0,
    "deterministic": False,
    "invert_contrast": "auto",
    "allow_bad": False,
}


def written(folder: Path, particles: Path, **options: Any) -> Campaign:
    folder.mkdir(parents=True)
    campaign = Campaign(folder, particles, OPTIONS | options, planned(2, [1, "auto"]))
    write_campaign(campaign)
    return campaign


def test_jobs_are_seeds_for_each_number_of_classes() -> None:
    runs = planned(2, [1, 3, "auto"])
    names = ["seed-1", "seed-2", "classes-3-seed-1", "classes-3-seed-2"]
    assert [run.name for run in runs] == [*names, "classes-auto-seed-1", "classes-auto-seed-2"]
    assert [run.number for run in runs] == [1, 2, 3, 4, 5, 6]


def test_jobs_that_are_added_come_last() -> None:
    before = planned(1, [1, 2])
    runs = planned(2, [1], before)
    assert runs == (*before, PlannedRun(3, 2, 1))
    assert planned(1, [2, 2], before) == before


def test_read_as_it_was_written(tmp_path: Path) -> None:
    campaign = written(tmp_path / "all", tmp_path / "data/particles.star")
    assert read_campaign(tmp_path / "all") == campaign
    asked = campaign.asked(campaign.run(4), device="cpu", threads=2)
    assert (asked.seed, asked.classes, asked.symmetry) == (2, "auto", "C7")


def test_elsewhere_the_paths_lead_to_the_same_files(tmp_path: Path) -> None:
    here = tmp_path / "here"
    particles, start = here / "data/particles.star", here / "start.mrc"
    written(here / "all", particles, initial_map=start)
    shutil.move(here, tmp_path / "there")
    there = read_campaign(tmp_path / "there/all")
    assert there.particles == tmp_path / "there/data/particles.star"
    assert there.options["initial_map"] == tmp_path / "there/start.mrc"
    (tmp_path / "link").symlink_to("there/all")
    assert read_campaign(tmp_path / "link").particles == there.particles


def test_no_such_job(tmp_path: Path) -> None:
    campaign = written(tmp_path / "all", tmp_path / "particles.star")
    for number in (0, 5):
        with pytest.raises(UsageError, match=f"has jobs 1 to 4, and no {number}"):
            campaign.run(number)


def without(name: str) -> Any:
    return lambda told: told.pop(name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("particles"), "damaged: KeyError 'particles'"),
        (without("program"), "not the jobs of a campaign"),
        (lambda told: told["options"].pop("recipe"), "damaged: KeyError 'recipe'"),
        (lambda told: told.update(options=[]), "damaged"),
        (lambda told: told.update(jobs=[]), "damaged: ValueError no jobs"),
        (lambda told: told["jobs"].pop(0), "damaged: ValueError in job 1"),
        (lambda told: told["jobs"][1].update(seed="x/../.."), "damaged: "),
        (lambda told: told["jobs"][1].update(classes="/x"), "damaged: ValueError in job 2"),
        (lambda told: told["jobs"][1].update(seed=1), "two jobs of one name"),
        (lambda told: told["jobs"][1].update(more=1), "damaged: TypeError"),
        (lambda told: told.update(format=2), f"format 2, and this is .*{installed_version()[:3]}"),
    ],
)
def test_what_is_no_campaign_is_told(tmp_path: Path, change: Any, words: str) -> None:
    written(tmp_path / "all", tmp_path / "particles.star")
    path = tmp_path / "all" / JOBS
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))
    with pytest.raises(BadDataError, match=words) as error:
        read_campaign(tmp_path / "all")
    assert error.value.file == path and error.value.fix


@pytest.mark.parametrize(
    ("text", "words"), [(None, "No such file"), ("{", "Expecting"), ("[]", "")]
)
def test_no_jobs_at_all(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / JOBS).write_text(text)
    with pytest.raises(BadDataError, match=rf"{JOBS}.*{words}(.|\n)*cryospin launch"):
        read_campaign(tmp_path)


def test_options_that_no_run_takes(tmp_path: Path) -> None:
    written(tmp_path / "all", tmp_path / "particles.star", max_resolution_angstrom=-1.0)
    with pytest.raises(UsageError, match="max_resolution_angstrom must be at least"):
        read_campaign(tmp_path / "all")
