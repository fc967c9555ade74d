"""The scripts that Slurm runs: an array with a task for each job, and the join after it."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from cryospin.campaign.plan import LOGS, Campaign
from cryospin.errors import UsageError

NOTICE_SECONDS = 120
"""Between SIGTERM, at which a run writes a checkpoint, and the end."""


@dataclass(frozen=True)
class Slurm:
    """What each task asks for, as sbatch takes it; None leaves it to the cluster.

    Raises
    ------
    UsageError: a value that is no word.
    """

    partition: str | None = None
    time: str | None = None
    cpus: int | None = None
    gpus: int | None = None
    memory: str | None = None

    def __post_init__(self) -> None:
        for option, value in self.options("partition", "time", "mem").items():
            if not value or any(character.isspace() for character in value):
                raise UsageError(f"--{option} {value!r} is not what Slurm takes: one word")

    def options(self, *names: str) -> dict[str, str]:
        """Options of sbatch, by name; of all, these."""
        given = {
            "partition": self.partition,
            "time": self.time,
            "cpus-per-task": self.cpus,
            "gpus": self.gpus,
            "mem": self.memory,
        }
        return {name: str(given[name]) for name in names if given[name] is not None}


def array_script(campaign: Campaign, slurm: Slurm) -> str:
    """A task that is stopped, by its time limit or for another's sake, comes back and goes on."""
    task = slurm.options("partition", "time", "cpus-per-task", "gpus", "mem")
    # srun does not take it over from sbatch since Slurm 22.05
    cores = "" if slurm.cpus is None else f"--cpus-per-task={slurm.cpus} "
    lines = _options(
        {
            "job-name": "cryospin",
            "array": f"1-{len(campaign.runs)}",
            **task,
            "signal": f"TERM@{NOTICE_SECONDS}",
            "output": _log(campaign.folder, "job-%a.txt"),
            "open-mode": "append",
        }
    )
    work = _command("work", campaign.folder)
    return f"""#!/bin/bash
# cryospin launch wrote this: task N does job N of jobs.json. To submit it: sbatch array.sh
{lines}
#SBATCH --requeue
srun {cores}{work} --job "$SLURM_ARRAY_TASK_ID" --wait
status=$?
# stopped by a signal: back into the queue, to go on from the checkpoint
if [ "$status" -eq 130 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$status"
"""


def join_script(campaign: Campaign, slurm: Slurm) -> str:
    lines = _options(
        {
            "job-name": "cryospin-join",
            **slurm.options("partition", "mem"),
            "output": _log(campaign.folder, "join.txt"),
        }
    )
    return f"""#!/bin/bash
# cryospin launch wrote this: to be submitted with array.sh, or run at any time
{lines}
{_command("join", campaign.folder)}
"""


def _options(values: dict[str, str]) -> str:
    return "\n".join(f"#SBATCH --{name}={shlex.quote(value)}" for name, value in values.items())


def _log(folder: Path, name: str) -> str:
    """A file of the folder, as a pattern of Slurm's."""
    return str(folder.absolute() / LOGS).replace("%", "%%") + "/" + name


def _command(name: str, folder: Path) -> str:
    """By this Python: the shell of a compute node may know of no other."""
    return shlex.join([sys.executable, "-m", "cryospin", name, str(folder.absolute())])
