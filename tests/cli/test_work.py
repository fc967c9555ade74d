"""What a worker says of jobs that fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from campaign_results import made_up
from cryospin.campaign.plan import JOBS
from cryospin.cli.main import main


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0)


def test_a_job_that_fails_is_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign = made_up(tmp_path / "all", 2)  # whose particles are gone
    assert run("work", campaign.folder) == 3
    told = capsys.readouterr().out
    assert "seed-1: failed: " in told and "seed-2: failed: " in told and "gone.star" in told
    assert run("join", campaign.folder, "--json") == 4
    runs = json.loads(capsys.readouterr().out)["groups"][0]["runs"]
    assert run("join", campaign.folder) == 4
    told = capsys.readouterr().out
    assert "│ failed " in told and "\nseed-2: failed: " in told and "gone.star" in told
    assert [each["state"] for each in runs] == ["failed", "failed"]
    assert (campaign.folder / JOBS).exists()
