"""`cryospin work`: a machine takes the jobs of a campaign."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from cryospin.cli.progress import progress_display
from cryospin.cli.run_options import (
    BatchSize,
    CheckpointSeconds,
    Device,
    Memory,
    Scratch,
    Threads,
)
from cryospin.errors import InterruptedRunError


def work(
    campaign: Annotated[Path, Argument(help="Folder that `cryospin launch` wrote.")],
    job: Annotated[
        int | None, Option(min=1, help="Only this job, counted from 1: of a Slurm array.")
    ] = None,
    wait: Annotated[
        bool,
        Option("--wait", help="Stay until all jobs have ended, in case another worker dies."),
    ] = False,
    lost_after: Annotated[
        float,
        Option(min=2.0, help="Minutes without a sign of another machine, until its job is taken."),
    ] = 10.0,
    device: Device = "auto",
    threads: Threads = None,
    batch_size: BatchSize = 500,
    memory: Memory = None,
    scratch: Scratch = None,
    checkpoint_seconds: CheckpointSeconds = 30.0,
) -> None:
    """Take the jobs of a campaign, one after the other, until none is free.

    Run it as often as you like, on all machines that see the folder. What a worker leaves undone
    another goes on with, to the same result. The verdicts of the runs are no errors here: `cryospin
    join` judges them.
    """
    from cryospin.campaign.work import Worker
    from cryospin.campaign.work import work as take_jobs

    with progress_display() as progress:
        worker = Worker(
            device=device,
            threads=threads,
            batch_size=batch_size,
            memory_gb=memory,
            scratch=scratch,
            checkpoint_seconds=checkpoint_seconds,
            wait=wait,
            lost_after_seconds=60.0 * lost_after,
            progress=progress,
            listeners=(progress.hear,),
            tell=partial(print, flush=True),  # a log shows it at once, whatever comes
        )
        try:
            done = take_jobs(campaign, worker, job)
        except InterruptedRunError:
            print("the job can be gone on with: the same command, here or elsewhere")
            raise typer.Exit(InterruptedRunError.exit_code) from None
    if not done:
        print(f"{campaign}: no job is free")
    codes = [each.error.exit_code for each in done if each.error is not None]
    if codes:
        raise typer.Exit(codes[0])
