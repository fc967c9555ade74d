"""A campaign from the command line: launched, worked on, joined."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from campaign_results import made_up, molecule, poses, seen_otherwise, write_run
from campaign_toys import simulated, toys
from cryospin.campaign.plan import JOBS, read_campaign
from cryospin.cli.main import main


def run(command: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(command))
    return int(stop.value.code or 0)


def test_from_the_particles_to_the_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a recipe of toy size, which finds nothing: then nothing is to be trusted."""
    simulated(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    assert run("launch data/particles.star --out 'all of them' --seeds 2 --max-shift 12") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "all of them: 2 jobs: seed-1, seed-2"
    commands = [line.removeprefix("  cryospin ") for line in told if line.startswith("  ")]
    assert commands == ["work 'all of them'", "join 'all of them'"]
    assert run(commands[1]) == 4  # nothing has ended
    assert "2 of 2 jobs have not ended" in capsys.readouterr().out
    toys(monkeypatch)
    assert run(commands[0]) == 0
    assert "seed-2: job 2 of 2" in capsys.readouterr().out
    assert run(commands[0]) == 0
    assert "no job is free" in capsys.readouterr().out
    settings = json.loads(Path("all of them/seed-2/result.json").read_text())["settings"]
    assert (settings["seed"], settings["max_shift_angstrom"]) == (2, 12.0)
    verdicts = {
        json.loads(path.read_text())["verdict"]
        for path in Path("all of them").glob("seed-*/result.json")
    }
    assert run(commands[1]) == (0 if "converged" in verdicts else 4)


def test_for_slurm_it_tells_what_to_submit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    simulated(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    line = "launch data/particles.star --out all --classes 1,auto --seeds 4 --slurm --cpus 8"
    assert run(line) == 0
    told = capsys.readouterr().out
    assert "8 jobs: seed-1, seed-2, seed-3, ..., classes-auto-seed-4" in told
    assert "jobs=$(sbatch --parsable all/array.sh)" in told
    assert 'sbatch --dependency=afterany:"$jobs" all/join.sh' in told
    assert len(read_campaign(Path("all")).runs) == 8


def test_a_job_that_fails_is_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign = made_up(tmp_path / "all", 2)  # whose particles are gone
    assert run(f"work '{campaign.folder}'") == 3
    told = capsys.readouterr().out
    assert "seed-1: failed: " in told and "seed-2: failed: " in told and "gone.star" in told
    assert run(f"join '{campaign.folder}' --json") == 4
    runs = json.loads(capsys.readouterr().out)["groups"][0]["runs"]
    assert [each["state"] for each in runs] == ["failed", "failed"]
    assert (campaign.folder / JOBS).exists()


def test_the_runs_are_compared_in_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign = made_up(tmp_path / "all", 3)
    write_run(campaign.folder / "seed-1", molecule(), poses())
    write_run(campaign.folder / "seed-2", *seen_otherwise(5, True), resolution=15.0)
    assert run(f"join '{campaign.folder}'") == 0
    told = capsys.readouterr().out
    rows = [line.split("│")[1:-1] for line in told.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert cells[0] == ["seed-2", "converged", "15.00 A", "seed-1", "", ""]
    assert cells[1] == ["seed-1", "converged", "16.00 A", "seed-2", "100 %", "other"]
    assert cells[2][:2] == ["seed-3", "waiting"]
    assert "agree: 2 of 2 runs that converged show the same" in told
    assert "1 of 3 jobs have not ended" in told
    assert f"best: {campaign.folder / 'seed-2'}" in told
