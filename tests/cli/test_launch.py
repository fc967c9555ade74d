"""A campaign from the command line: from the particles on."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from campaign_toys import simulated, toys
from cryospin.campaign.plan import read_campaign
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
