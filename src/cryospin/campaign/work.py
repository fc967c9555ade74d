"""A worker: takes the jobs of a campaign, one after the other, until none is free."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryospin.campaign.claims import (
    ENDED,
    FAILED,
    LOST_AFTER_SECONDS,
    Hold,
    take,
)
from cryospin.campaign.plan import CLAIMS, Campaign, PlannedRun, read_campaign
from cryospin.campaign.states import State, state_of
from cryospin.devices import find_device
from cryospin.errors import CryospinError, InterruptedRunError, InUseError, ResourceError
from cryospin.io.lock import LOCK, refuse_in_use, remove_left_by
from cryospin.journal.settings import START_OVER
from cryospin.journal.signals import Signals
from cryospin.run.finished import Run
from cryospin.run.reconstruct import reconstruct
from cryospin.threads import configure_threads

LOOK_AGAIN_SECONDS = 15.0

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Done:
    """What became of a job that the worker took: its run, or the error that ended it."""

    name: str
    run: Run | None
    error: CryospinError | None


@dataclass(frozen=True)
class Worker:
    """How this machine computes, as `cryospin.run.reconstruct` takes it, and who is told.

    wait: stay until all jobs have ended, for a job whose worker dies has to be gone on with.
    lost_after_seconds: without a sign of life, when another machine's worker counts as dead.
    """

    device: str = "auto"
    threads: int | None = None
    batch_size: int = 500
    memory_gb: float | None = None
    scratch: Path | None = None
    checkpoint_seconds: float = 30.0
    wait: bool = False
    lost_after_seconds: float = LOST_AFTER_SECONDS
    progress: Progress = lambda step, done, total: None
    listeners: tuple[Callable[[dict[str, Any]], None], ...] = ()
    tell: Callable[[str], None] = lambda sentence: None


def work(folder: Path | str, worker: Worker, job: int | None = None) -> list[Done]:
    """Take the jobs of the campaign in `folder`; with `job`, this one alone.

    A job goes on where another worker was stopped or died, to the same result. One that ends in
    an error of its own is told, and the next is taken.

    Raises
    ------
    BadDataError: there is no campaign.
    UsageError: there is no such job, or the worker's options cannot be.
    ResourceError: the disk, the memory or the card do not suffice; the job can be gone on with.
    InterruptedRunError: SIGTERM came; the job can be gone on with.
    """
    campaign = read_campaign(Path(folder))
    runs = campaign.runs if job is None else (campaign.run(job),)
    campaign.asked(
        runs[0], worker.device, worker.threads, worker.batch_size, worker.memory_gb, worker.scratch
    )
    (campaign.folder / CLAIMS).mkdir(exist_ok=True)
    done: list[Done] = []
    with Signals():
        if _left(campaign, runs, worker, set()):
            configure_threads(worker.threads)
            find_device(worker.device)
        while True:
            left = _left(campaign, runs, worker, {each.name for each in done})
            taken = next((one for state in left if (one := _take(campaign, state, worker))), None)
            if taken is not None:
                done += _worked(campaign, *taken, worker)
            elif left and worker.wait:
                time.sleep(LOOK_AGAIN_SECONDS)
            else:
                for state in left:
                    worker.tell(f"{state.run.name}: {state.told}")
                return done


def _left(
    campaign: Campaign, runs: tuple[PlannedRun, ...], worker: Worker, mine: set[str]
) -> list[State]:
    """Jobs that have not ended and that this worker has not had: those that may have been the end
    of a worker come last."""
    others = [run for run in runs if run.name not in mine]
    states = [state_of(campaign, run, worker.lost_after_seconds) for run in others]
    unfinished = [state for state in states if state.state != ENDED]
    return sorted(unfinished, key=lambda state: (state.is_suspect, state.run.number))


def _take(campaign: Campaign, state: State, worker: Worker) -> tuple[PlannedRun, Hold] | None:
    if not state.is_to_be_done:
        return None
    lock = campaign.folder_of(state.run) / LOCK
    try:
        refuse_in_use(lock.parent, lock)
    except InUseError:
        if state.claim is None or state.claim.outcome is not None:
            return None  # by somebody who is no worker
    hold = take(campaign.folder / CLAIMS, state.run.name, worker.lost_after_seconds)
    if hold is None:
        return None
    if state.claim is not None and state.claim.outcome is None:
        worker.tell(f"{state.run.name}: goes on for a worker that is gone ({state.claim})")
        remove_left_by(state.claim.holder, lock)
    return state.run, hold


def _worked(campaign: Campaign, run: PlannedRun, hold: Hold, worker: Worker) -> list[Done]:
    """Nothing where another worker took the job meanwhile."""
    worker.tell(f"{run.name}: job {run.number} of {len(campaign.runs)}")
    with hold:
        try:
            found = reconstruct(
                campaign.particles,
                campaign.folder_of(run),
                **campaign.options,
                seed=run.seed,
                classes=run.classes,
                device=worker.device,
                threads=worker.threads,
                batch_size=worker.batch_size,
                memory_gb=worker.memory_gb,
                scratch=worker.scratch,
                checkpoint_seconds=worker.checkpoint_seconds,
                resume=True,
                progress=hold.checked(worker.progress),
                listeners=worker.listeners,
                tell=worker.tell,
            )
        except InterruptedRunError:
            raise
        except CryospinError as error:
            # the folder is another's then, and whatever failed in it says no more than that
            if hold.is_lost() or isinstance(error, InUseError):
                worker.tell(f"{run.name}: left to another worker: {error}")
                return []
            if isinstance(error, ResourceError):
                raise
            problem = str(error).replace(
                START_OVER, f"remove {campaign.folder_of(run)}, and the job starts over"
            )
            hold.give_back(FAILED, problem)
            worker.tell(f"{run.name}: failed: {problem}")
            return [Done(run.name, None, error)]
        hold.give_back(ENDED)
    worker.tell(f"{run.name}: {found.verdict}")
    return [Done(run.name, found, None)]
