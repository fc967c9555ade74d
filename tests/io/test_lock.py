"""One process at a time, however the one before ended."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cryospin.errors import ResourceError, UsageError
from cryospin.io.lock import LOCK, remove_left_by, sole_use

SOURCE = Path(__file__).parents[2] / "src"
PROGRAM = """
import sys
from pathlib import Path
from cryospin.errors import UsageError
from cryospin.io.lock import LOCK, sole_use
folder = Path(sys.argv[1])
sys.stdin.readline()
try:
    with sole_use(folder, folder / LOCK):
        print("mine", flush=True)
        sys.stdin.readline()
except UsageError:
    print("in use", flush=True)
"""


@contextmanager
def process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Takes the folder at a first line, and gives it back at a second."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def ask(one: subprocess.Popen[str]) -> None:
    assert one.stdin is not None
    one.stdin.write("\n")
    one.stdin.flush()


def answer(one: subprocess.Popen[str]) -> str:
    assert one.stdout is not None
    return one.stdout.readline().strip()


def take(folder: Path) -> None:
    with sole_use(folder, folder / LOCK):
        pass


def test_held_by_a_living_process_and_free_after_its_end(tmp_path: Path) -> None:
    with process(tmp_path) as one:
        ask(one)
        assert answer(one) == "mine"
        words = rf"is in use .*process {one.pid} on {socket.gethostname()}, since 20.*\n  fix: "
        with pytest.raises(UsageError, match=words):
            take(tmp_path)
        ask(one)
        one.wait()
    assert os.listdir(tmp_path) == []
    take(tmp_path)


def test_free_after_a_kill(tmp_path: Path) -> None:
    with process(tmp_path) as one:
        ask(one)
        assert answer(one) == "mine"
        os.kill(one.pid, signal.SIGKILL)
        one.wait()
        assert os.listdir(tmp_path) == [LOCK]
        with process(tmp_path) as other:
            ask(other)
            assert answer(other) == "mine"
            with pytest.raises(UsageError, match=f"process {other.pid} "):
                take(tmp_path)


def test_of_many_at_once_one_gets_it(tmp_path: Path) -> None:
    with process(tmp_path) as a, process(tmp_path) as b, process(tmp_path) as c:
        for one in (a, b, c):
            ask(one)
        assert sorted(map(answer, (a, b, c))) == ["in use", "in use", "mine"]


def test_no_child_keeps_it(tmp_path: Path) -> None:
    with sole_use(tmp_path, tmp_path / LOCK):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with child:
        try:
            take(tmp_path)
        finally:
            child.kill()


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network disk whose driver knows no locks."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("without_locks")
@pytest.mark.parametrize(
    ("holder", "free"),
    [
        (None, True),
        ({"process": 2**22 + 1, "host": socket.gethostname()}, True),
        ({"process": os.getppid(), "host": socket.gethostname()}, False),
        ({"process": 2**22 + 1, "host": "another"}, False),
        ({}, False),
    ],
)
def test_on_a_disk_without_locks_the_file_is_one(
    tmp_path: Path, holder: dict[str, object] | None, free: bool
) -> None:
    lock = tmp_path / LOCK
    if holder is not None:
        lock.write_text(json.dumps(holder))
    if free:
        with sole_use(tmp_path, lock):
            assert json.loads(lock.read_text())["process"] == os.getpid()
            with pytest.raises(UsageError, match="in use"):
                take(tmp_path)
    else:
        with pytest.raises(UsageError, match=rf"in use .*\n  fix: .* remove {lock}"):
            take(tmp_path)
        assert json.loads(lock.read_text()) == holder


@pytest.mark.usefixtures("without_locks")
@pytest.mark.parametrize(
    ("left_by", "gone"),
    [
        ({"process": 7, "host": "another", "since": "long ago"}, True),
        ({"process": 8, "host": "another"}, False),
        ({"process": 7, "host": "a third"}, False),
        ({}, False),
    ],
)
def test_what_a_process_left_that_is_known_to_be_gone(
    tmp_path: Path, left_by: dict[str, object], gone: bool
) -> None:
    lock = tmp_path / LOCK
    lock.write_text(json.dumps(left_by))
    remove_left_by({"process": 7, "host": "another"}, lock)
    assert lock.exists() != gone
    remove_left_by({"process": 7, "host": "another"}, tmp_path / "none")


def test_where_there_are_locks_nothing_is_removed(tmp_path: Path) -> None:
    lock = tmp_path / LOCK
    mine = {"process": os.getpid(), "host": socket.gethostname()}
    with sole_use(tmp_path, lock):
        remove_left_by(mine, lock)
        assert lock.exists()
    lock.write_text(json.dumps(mine))
    remove_left_by(mine, lock)
    assert lock.exists()


def test_no_folder_to_lock(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="folder does not exist"):
        take(tmp_path / "none")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "table.star").write_text("mine")
    (tmp_path / LOCK).symlink_to("table.star")
    with pytest.raises((ResourceError, UsageError)):
        take(tmp_path)
    assert (tmp_path / "table.star").read_text() == "mine"
