"""Workers share the jobs of a campaign, and what one leaves another finishes, bit for bit."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaign_toys import contents, ended, launched, simulated, toys, worker
from cryospin.campaign import claims
from cryospin.campaign import work as work_module
from cryospin.campaign.claims import newest_claim
from cryospin.campaign.plan import CLAIMS, JOBS, Campaign
from cryospin.campaign.states import BROKEN, ENDED, STOPPED, WAITING, state_of
from cryospin.campaign.work import Worker, work
from cryospin.cli.main import main
from cryospin.errors import (
    BadDataError,
    InterruptedRunError,
    ResourceError,
    UsageError,
)
from cryospin.explore import amortised
from cryospin.io.lock import LOCK, sole_use
from cryospin.journal.settings import START_OVER
from cryospin.run.finished import Run


@pytest.fixture(scope="module")
def particles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("simulated"))


@pytest.fixture
def campaign(particles: Path, tmp_path: Path) -> Campaign:
    return launched(particles, tmp_path / "all")


def states(campaign: Campaign) -> list[str]:
    return [state_of(campaign, run).state for run in campaign.runs]


def takings(campaign: Campaign) -> list[int]:
    """How often each job was taken."""
    newest = [newest_claim(campaign.folder / CLAIMS, run.name) for run in campaign.runs]
    return [0 if claim is None else claim.number for claim in newest]


# --- killed and stopped for real, with a recipe of a second ---------------------------------


def finish(campaign: Campaign, *more: str) -> int:
    words = ["work", str(campaign.folder), "--checkpoint-seconds", "0", *more]
    with pytest.raises(SystemExit) as stop:
        main(words)
    return int(stop.value.code or 0)


def test_killed_and_taken_over_to_the_same_bits(
    particles: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain, killed = (launched(particles, tmp_path / name) for name in ("plain", "killed"))
    assert ended(worker(killed.folder, "dies"))[0] == -signal.SIGKILL
    assert states(killed) == [STOPPED, WAITING]
    kept = list((killed.folder / "seed-1/checkpoints").iterdir())
    assert kept and not (killed.folder / "seed-1/result.json").exists()
    toys(monkeypatch)
    assert finish(killed) == 0
    told = capsys.readouterr().out
    assert "seed-1: goes on for a worker that is gone" in told
    # what may have been the end of a worker comes last
    assert told.index("seed-2: job 2 of 2") < told.index("seed-1: job 1 of 2")
    assert states(killed) == [ENDED, ENDED] and takings(killed) == [2, 1]
    assert finish(plain) == 0 and takings(plain) == [1, 1]
    for name in ("seed-1", "seed-2"):
        assert contents(killed.folder / name) == contents(plain.folder / name)
    log = (killed.folder / "seed-1/log.jsonl").read_text().splitlines()
    begun = [json.loads(line) for line in log if json.loads(line)["event"] == "run"]
    assert [line["settings"]["seed"] for line in begun] == [1, 1]


def test_stopped_by_a_signal_it_gives_its_job_back(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopping(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    toys(monkeypatch)
    real = amortised.report_of
    with monkeypatch.context() as patch:
        patch.setattr(amortised, "report_of", stopping)
        assert finish(campaign, "--job", "2") == InterruptedRunError.exit_code
    told = capsys.readouterr()
    assert "the job can be gone on with" in told.out and "--resume" not in told.err
    assert states(campaign) == [WAITING, STOPPED]
    claim = newest_claim(campaign.folder / CLAIMS, "seed-2")
    assert claim is not None and claim.outcome == "interrupted"


def test_one_that_slept_leaves_its_job_to_who_has_it_now(
    particles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk without locks, where claims are all there is, and of another machine."""
    plain, slept = (launched(particles, tmp_path / name, 1) for name in ("plain", "slept"))
    toys(monkeypatch)
    # both half-sets at once would take their steps in any order
    monkeypatch.setattr("cryospin.threads.available_cores", lambda: 1)
    assert finish(plain) == 0
    real, awake, steps, told = amortised.report_of, claims._clock, list[int](), list[str]()
    claim, asleep = slept.folder / CLAIMS / "seed-1.0001", 0.0

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    def sleeping(*arguments: Any) -> Any:
        nonlocal asleep
        steps.append(1)
        if len(steps) == 6:
            lid_closed = json.loads(claim.read_text()) | {"boot": "another", "installation": "x"}
            claim.write_text(json.dumps(lid_closed))
            os.utime(claim, (0, 0))
            asleep = 1e6
            found = work(slept.folder, Worker(checkpoint_seconds=0, tell=told.append))
            assert [done.name for done in found] == ["seed-1"]
            left.update(contents(slept.folder / "seed-1"))
        return real(*arguments)

    left: dict[str, Any] = {}
    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(claims, "_clock", lambda: awake() + asleep)
    monkeypatch.setattr(amortised, "report_of", sleeping)
    assert work(slept.folder, Worker(checkpoint_seconds=0, tell=told.append)) == []
    assert any("goes on for a worker that is gone" in line for line in told)
    assert "left to another worker" in told[-1]
    assert left == contents(plain.folder / "seed-1")
    # and it has changed nothing since
    assert contents(slept.folder / "seed-1") == left and takings(slept) == [2]


def test_two_side_by_side_take_different_jobs(campaign: Campaign) -> None:
    both = [worker(campaign.folder, "waits") for _ in range(2)]
    outcomes = [ended(process) for process in both]
    assert [code for code, _ in outcomes] == [0, 0], outcomes
    did = [[n for n in (1, 2) if f"job {n} of 2" in told] for _, told in outcomes]
    assert sorted(did) == [[1], [2]]
    assert states(campaign) == [ENDED, ENDED] and takings(campaign) == [1, 1]


# --- in this process, with made-up runs -----------------------------------------------------


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path], Any]], list[str]]:
    """What a run does in place of computing, given its folder; the names of those that were
    asked for."""

    def arrange(happens: Callable[[Path], Any]) -> list[str]:
        asked: list[str] = []

        def reconstruct(particles: Path, out: Path, **options: Any) -> Run:
            assert options["resume"] and options["seed"] == int(out.name[-1])
            asked.append(out.name)
            out.mkdir(exist_ok=True)
            options["progress"]("a step", 1, 2)
            happens(out)
            (out / "result.json").write_text("{}")
            return Run(out, "converged", out / "report.html", None)

        monkeypatch.setattr(work_module, "reconstruct", reconstruct)
        monkeypatch.setattr(work_module, "LOOK_AGAIN_SECONDS", 0.0)
        return asked

    return arrange


def nothing(out: Path) -> None:
    pass


def test_all_jobs_or_one(campaign: Campaign, runs: Any) -> None:
    asked = runs(nothing)
    assert [done.name for done in work(campaign.folder, Worker(), 2)] == ["seed-2"]
    assert [done.name for done in work(campaign.folder, Worker())] == ["seed-1"]
    assert work(campaign.folder, Worker()) == [] and asked == ["seed-2", "seed-1"]
    assert states(campaign) == [ENDED, ENDED]


def test_another_comes_meanwhile(campaign: Campaign, runs: Any) -> None:
    others: list[list[str]] = []

    def another(out: Path) -> None:
        if not others:
            others.append([])
            for job in (None, 1):
                others.append([done.name for done in work(campaign.folder, Worker(), job)])

    runs(another)
    assert [done.name for done in work(campaign.folder, Worker())] == ["seed-1"]
    assert others == [[], ["seed-2"], []]


def test_a_job_that_fails_is_told_and_the_next_is_taken(campaign: Campaign, runs: Any) -> None:
    told: list[str] = []

    def fails(out: Path) -> None:
        if out.name == "seed-1":
            raise BadDataError("a hole", file="particles.star", row=3)

    asked = runs(fails)
    done = work(campaign.folder, Worker(tell=told.append))
    assert [(each.name, str(each.error)) for each in done] == [
        ("seed-1", "particles.star, row 3: a hole"),
        ("seed-2", "None"),
    ]
    assert states(campaign) == [BROKEN, ENDED]
    assert "seed-1: failed: particles.star, row 3: a hole" in told
    # each worker tries once: what was wrong may have been mended
    runs(nothing)
    assert [each.run is not None for each in work(campaign.folder, Worker(wait=True))] == [True]
    assert asked == ["seed-1", "seed-2"] and states(campaign) == [ENDED, ENDED]


@pytest.mark.parametrize(
    "error", [ResourceError("the disk is full"), InterruptedRunError(), KeyboardInterrupt()]
)
def test_what_is_not_the_jobs_fault_ends_the_worker(
    campaign: Campaign, runs: Any, error: BaseException
) -> None:
    def fails(out: Path) -> None:
        raise error

    asked = runs(fails)
    with pytest.raises(type(error)):
        work(campaign.folder, Worker())
    assert asked == ["seed-1"] and states(campaign) == [STOPPED, WAITING]


def test_one_that_waits_takes_what_others_leave(campaign: Campaign, runs: Any) -> None:
    """The other one holds the first job, and dies while the second is done."""
    other = work_module.take(campaign.folder / CLAIMS, "seed-1")
    assert other is not None
    other.__enter__()

    def dies(out: Path) -> None:
        if out.name == "seed-2":
            other.give_back("interrupted")

    asked = runs(dies)
    assert len(work(campaign.folder, Worker(wait=True))) == 2
    assert asked == ["seed-2", "seed-1"] and takings(campaign) == [2, 1]


def test_sigterm_while_it_waits(
    campaign: Campaign, runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs(nothing)
    monkeypatch.setattr(work_module.time, "sleep", lambda s: os.kill(os.getpid(), signal.SIGTERM))
    with work_module.take(campaign.folder / CLAIMS, "seed-1"), pytest.raises(InterruptedRunError):
        work(campaign.folder, Worker(wait=True), 1)


def test_code_that_was_changed_since(campaign: Campaign, runs: Any) -> None:
    """The way out is one that a worker has."""

    def fails(out: Path) -> None:
        raise UsageError(f"another version\n  fix: go back to that version, or {START_OVER}")

    runs(fails)
    work(campaign.folder, Worker(), 1)
    told = state_of(campaign, campaign.run(1)).told
    assert "--resume" not in told and f"remove {campaign.folder / 'seed-1'}, and" in told


def test_a_folder_that_another_command_uses_is_left_alone(campaign: Campaign, runs: Any) -> None:
    asked = runs(nothing)
    folder = campaign.folder / "seed-1"
    folder.mkdir()
    with sole_use(folder, folder / LOCK):
        assert [done.name for done in work(campaign.folder, Worker())] == ["seed-2"]
    assert asked == ["seed-2"] and takings(campaign) == [0, 1]


@pytest.mark.parametrize(
    ("folder", "job", "options", "error"),
    [
        ("none", None, {}, BadDataError),
        ("all", 3, {}, UsageError),
        ("all", None, {"threads": 0}, UsageError),
        ("all", None, {"device": "abacus"}, UsageError),
        ("all", None, {"device": "cuda:99"}, UsageError),
        ("all", None, {"batch_size": 0}, UsageError),
    ],
)
def test_bad_input_is_told_before_any_job_is_taken(
    campaign: Campaign, folder: str, job: int | None, options: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        work(campaign.folder.parent / folder, Worker(**options), job)
    assert states(campaign) == [WAITING, WAITING] and takings(campaign) == [0, 0]


def test_jobs_that_are_damaged(campaign: Campaign) -> None:
    (campaign.folder / JOBS).write_text("{")
    with pytest.raises(BadDataError, match=JOBS):
        work(campaign.folder, Worker())
