"""A job is one worker's at a time, whatever becomes of the workers."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cryospin.campaign import claims
from cryospin.campaign.claims import (
    ENDED,
    FAILED,
    INTERRUPTED,
    LOST_AFTER_SECONDS,
    Hold,
    LostClaimError,
    newest_claim,
    take,
)
from cryospin.errors import ResourceError

SOURCE = Path(__file__).parents[2] / "src"
PROGRAM = """
import os, sys
from pathlib import Path
from cryospin.campaign.claims import take
hold = take(Path(sys.argv[1]), "job")
assert hold is not None
hold.__enter__()
print("mine", flush=True)
sys.stdin.readline()
"""


ELSEWHERE = {"boot": "another", "installation": "another"}


def taken(folder: Path) -> Hold:
    hold = take(folder, "job")
    assert hold is not None
    return hold


def left_by(folder: Path, age_seconds: float = 0.0, **other: Any) -> None:
    """A claim that this process made, but for some of what it is signed with."""
    path = folder / "job.0001"
    path.write_text(json.dumps(claims._this_process() | other))
    then = time.time() - age_seconds
    os.utime(path, (then, then))


def test_held_until_it_is_given_back(tmp_path: Path) -> None:
    assert newest_claim(tmp_path, "job") is None
    for number, outcome in enumerate((ENDED, FAILED, INTERRUPTED), 1):
        with taken(tmp_path) as hold:
            claim = newest_claim(tmp_path, "job")
            assert claim is not None and claim.is_held and claim.number == number
            assert f"process {os.getpid()} on " in str(claim)
            assert take(tmp_path, "job") is None
            if outcome != INTERRUPTED:
                hold.give_back(outcome, "a problem")
        claim = newest_claim(tmp_path, "job")
        assert claim is not None and not claim.is_held and claim.outcome == outcome
        assert claim.problem == (None if outcome == INTERRUPTED else "a problem")
    assert sorted(os.listdir(tmp_path)) == ["job.0001", "job.0002", "job.0003"]


def test_jobs_of_similar_names_are_apart(tmp_path: Path) -> None:
    with taken(tmp_path):
        other = take(tmp_path, "job.0001")
        assert other is not None
        with other:
            claim = newest_claim(tmp_path, "job")
            assert claim is not None and claim.number == 1


def test_of_many_at_once_one_gets_it(tmp_path: Path) -> None:
    begin, got = threading.Barrier(8), list[Hold]()

    def try_it() -> None:
        begin.wait()
        if (hold := take(tmp_path, "job")) is not None:
            got.append(hold)

    for _ in range(5):
        threads = [threading.Thread(target=try_it) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1
        with got.pop() as hold:
            hold.give_back(INTERRUPTED)


def test_free_at_once_after_a_kill_on_this_machine(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    ) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "mine\n"
            assert take(tmp_path, "job") is None
            process.kill()
            # not yet waited for: it is there, but lives no more
            deadline = time.monotonic() + 10
            while (claim := newest_claim(tmp_path, "job")) and claim.is_held:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert claim is not None and claim.outcome is None
            with taken(tmp_path):
                pass
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("age_seconds", "other", "held"),
    [
        # this process, which lives, may have been asleep as long as it likes
        (0.0, {}, True),
        (1e6, {}, True),
        # a number that is another process's now
        (0.0, {"started": "1"}, False),
        (0.0, {"process": 2**22 + 1}, False),
        # this machine, before it was started again
        (0.0, {"boot": "before"}, False),
        # of another machine, also one that calls itself the same, only its touch is seen
        (0.0, ELSEWHERE, True),
        (0.0, {"boot": "another", "host": "another"}, True),
        (LOST_AFTER_SECONDS - 30, ELSEWHERE, True),
        (LOST_AFTER_SECONDS + 30, ELSEWHERE, False),
        # likewise of a container, which counts processes for itself
        (LOST_AFTER_SECONDS - 30, {"process_numbers": "pid:[1]", "process": 1}, True),
        (LOST_AFTER_SECONDS + 30, {"process_numbers": "pid:[1]", "process": 1}, False),
    ],
)
def test_whether_a_holder_counts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    age_seconds: float,
    other: dict[str, Any],
    held: bool,
) -> None:
    monkeypatch.setattr(claims, "_installation", lambda: "this one")
    left_by(tmp_path, age_seconds, **other)
    claim = newest_claim(tmp_path, "job")
    assert claim is not None and claim.is_held == held
    assert (take(tmp_path, "job") is None) == held


def test_where_the_system_has_no_name_a_start_before_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_installation", lambda: "")
    left_by(tmp_path, boot="before")
    assert take(tmp_path, "job") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"process": "x"}'])
def test_a_claim_that_nobody_signed_is_somebodys_for_a_while(tmp_path: Path, text: str) -> None:
    path = tmp_path / "job.0001"
    path.write_text(text)
    claim = newest_claim(tmp_path, "job")
    assert claim is not None and claim.is_held
    then = time.time() - LOST_AFTER_SECONDS - 30
    os.utime(path, (then, then))
    assert take(tmp_path, "job") is not None


def test_a_holder_touches_its_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.01)
    with taken(tmp_path):
        path = tmp_path / "job.0001"
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_one_that_slept_stops_where_another_has_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep, steps = 0.0, list[int]()
    awake = claims._clock
    monkeypatch.setattr(claims, "_clock", lambda: awake() + asleep)
    with taken(tmp_path) as hold:
        progress = hold.checked(lambda step, done, total: steps.append(done))
        progress("a step", 1, 3)
        asleep += LOST_AFTER_SECONDS
        progress("a step", 2, 3)  # nobody took it meanwhile
        (tmp_path / "job.0002").write_text(json.dumps({"process": 1} | ELSEWHERE))
        asleep += LOST_AFTER_SECONDS
        for _ in range(2):
            with pytest.raises(LostClaimError, match="another worker has taken the job"):
                progress("a step", 3, 3)
    assert steps == [1, 2]
    claim = newest_claim(tmp_path, "job")
    assert claim is not None and claim.number == 2 and claim.is_held


def test_a_disk_that_is_away_for_a_moment_is_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: object) -> None:
        raise OSError(5, "Input/output error")

    with taken(tmp_path) as hold:
        awake = claims._clock
        monkeypatch.setattr(claims, "_clock", lambda: awake() + LOST_AFTER_SECONDS)
        with monkeypatch.context() as patch:
            patch.setattr(os, "utime", away)
            hold.check()
        hold.check()


def test_a_claim_that_is_replaced_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NFS tells it; and one that cannot be read at all."""
    real, failures = os.fstat, [errno.ESTALE]

    def fstat(descriptor: int) -> os.stat_result:
        if failures:
            number = failures.pop()
            raise OSError(number, os.strerror(number))
        return real(descriptor)

    with taken(tmp_path):
        monkeypatch.setattr(os, "fstat", fstat)
        claim = newest_claim(tmp_path, "job")
        assert claim is not None and claim.is_held and not failures
        failures.append(errno.EACCES)
        with pytest.raises(ResourceError, match=r"job\.0001"):
            newest_claim(tmp_path, "job")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="folder does not exist"):
        take(tmp_path / "none", "job")
