"""The scripts are valid, ask for what was asked, and their lines run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from campaign_toys import DEFAULTS
from cryospin.campaign.claims import newest_claim
from cryospin.campaign.plan import CLAIMS, LOGS, Campaign, planned, write_campaign
from cryospin.campaign.slurm import Slurm, array_script, join_script
from cryospin.errors import BadDataError, InterruptedRunError, UsageError

SOURCE = Path(__file__).parents[2] / "src"
FULL = Slurm(partition="gpu", time="04:00:00", cpus=16, gpus=1, memory="32G")


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """Of particles that are gone, in a folder whose name a shell would trip over."""
    folder = tmp_path / "100 % of 'it'"
    for name in (CLAIMS, LOGS):
        (folder / name).mkdir(parents=True)
    campaign = Campaign(folder, tmp_path / "gone.star", DEFAULTS, planned(3, [1]))
    write_campaign(campaign)
    return campaign


def written(campaign: Campaign, slurm: Slurm) -> tuple[Path, Path]:
    scripts = campaign.folder / "array.sh", campaign.folder / "join.sh"
    for path, text in zip(
        scripts, (array_script(campaign, slurm), join_script(campaign, slurm)), strict=True
    ):
        path.write_text(text)
    return scripts


@pytest.mark.parametrize("slurm", [Slurm(), FULL])
def test_they_are_valid_bash(campaign: Campaign, slurm: Slurm) -> None:
    for script in written(campaign, slurm):
        assert subprocess.run(["bash", "-n", str(script)]).returncode == 0


def test_they_ask_for_what_was_asked(campaign: Campaign) -> None:
    lines = array_script(campaign, FULL).splitlines()
    asked = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}
    own = {"array=1-3", "signal=TERM@120", "requeue", "open-mode=append", "job-name=cryospin"}
    given = {"partition=gpu", "time=04:00:00", "cpus-per-task=16", "gpus=1", "mem=32G"}
    assert own | given <= asked
    # Slurm reads %a, and a folder's own % doubled
    assert any(line.startswith("output=") and "100 %% of" in line for line in asked)
    assert any(line.startswith("srun --cpus-per-task=16 ") for line in lines)
    plain = array_script(campaign, Slurm())
    assert "--partition" not in plain and "--cpus-per-task" not in plain
    # every option stands before the first command, after which sbatch reads none
    assert plain.index("srun") > plain.rindex("#SBATCH")


@pytest.mark.parametrize(
    "asked", [{"partition": "a b"}, {"time": "1\n#SBATCH --x"}, {"memory": ""}]
)
def test_words_that_would_be_another_line(asked: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="one word"):
        Slurm(**asked)


def run(script: Path, folder: Path, srun: str) -> tuple[int, str, list[str]]:
    """Task 2 of an array: its exit code, what it printed, and what scontrol was told."""
    asked = folder / "scontrol was told"
    for name, line in (("srun", srun), ("scontrol", f'echo "$@" >> "{asked}"')):
        (folder / name).write_text(f"#!/bin/bash\n{line}\n")
        (folder / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(SOURCE),
        "SLURM_ARRAY_TASK_ID": "2",
        "SLURM_JOB_ID": "77",
    }
    done = subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True)
    told = asked.read_text().splitlines() if asked.exists() else []
    return done.returncode, done.stdout + done.stderr, told


def test_a_task_does_its_job(campaign: Campaign, tmp_path: Path) -> None:
    """Which fails here, for its particles are gone, so that it is quick."""
    array, join = written(campaign, FULL)
    code, told, scontrol = run(array, tmp_path, 'shift; exec "$@"')
    assert code == BadDataError.exit_code and "seed-2: failed: " in told, told
    assert "gone.star" in told and scontrol == []
    claims = [newest_claim(campaign.folder / CLAIMS, each.name) for each in campaign.runs]
    assert [claim and claim.outcome for claim in claims] == [None, "failed", None]
    code, told, _ = run(join, tmp_path, "exit 99")
    assert code == 4 and "no run has ended" in told, told


def test_a_task_that_was_stopped_goes_back_into_the_queue(
    campaign: Campaign, tmp_path: Path
) -> None:
    array, _ = written(campaign, Slurm())
    stopped = InterruptedRunError.exit_code
    code, _, scontrol = run(array, tmp_path, f"exit {stopped}")
    assert code == stopped and scontrol == ["requeue 77"]
    assert run(array, tmp_path, "exit 0")[0] == 0
