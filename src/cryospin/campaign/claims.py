"""Who works on a job: claims, which are files in a folder that many machines share.

Claims of a job are numbered, and the newest one counts. Whoever takes a job makes the claim of the
next number, which the file system lets one of all succeed in (O_EXCL, also on NFS). No claim is
ever removed or renamed, so nobody can take away a claim that another has made meanwhile.

A holder touches its claim all the time. Of a process of the same machine it is known whether it
lives; of another machine a claim that was not touched for long is given up, by the clock that
stamps the disk's files. A holder that slept through that finds a newer claim, and stops.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from cryospin.errors import CryospinError
from cryospin.io.atomic import atomic_path, resource_error

BEAT_SECONDS = 20.0
LOST_AFTER_SECONDS = 600.0
"""Without a touch, when a claim from another machine counts for nothing."""

ENDED, INTERRUPTED, FAILED = "ended", "interrupted", "failed"


class LostClaimError(CryospinError):
    """Another worker has taken the job: this one slept, or could not reach the disk, too long."""


@dataclass(frozen=True)
class Claim:
    """The newest claim of a job, as it was found.

    holder: `host`, `process`, `since` and what tells whether it lives. outcome: one of ENDED,
    INTERRUPTED, FAILED where the holder gave it back, else None. problem: in words, of FAILED.
    is_held: whether a worker is on the job, as far as can be told.
    """

    number: int
    holder: dict[str, Any]
    outcome: str | None
    problem: str | None
    is_held: bool

    def __str__(self) -> str:
        who = {"process": "?", "host": "?", "since": "?"} | self.holder
        return "process {process} on {host}, since {since}".format_map(who)


def newest_claim(
    folder: Path, name: str, lost_after_seconds: float = LOST_AFTER_SECONDS
) -> Claim | None:
    """None where nobody has ever taken the job. folder: of all claims.

    Raises
    ------
    ResourceError: nothing can be written to the folder, which asking for the time there needs.
    """
    number = _newest_number(folder, name)
    if not number:
        return None
    touched, text = _read(_path(folder, name, number))
    told = _told(text)
    outcome, held = told.get("outcome"), False
    if outcome is None:
        life = _is_alive(told)
        held = _now_there(folder) - touched < lost_after_seconds if life is None else life
    return Claim(number, told, outcome, told.get("problem"), held)


class Hold:
    """A claim of ours: a context in which the job is ours alone, and a thread that touches it.

    `give_back` says how it ended; without it, the job counts as interrupted.
    """

    def __init__(self, path: Path, following: Path, told: dict[str, Any], doubt_seconds: float):
        self._path, self._following, self._told = path, following, told
        self._doubt_seconds = doubt_seconds
        self._touched, self._lost = _clock(), False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="claim", daemon=True)

    def __enter__(self) -> Hold:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back(INTERRUPTED)

    def give_back(self, outcome: str, problem: str | None = None) -> None:
        """Say how the work on the job ended; what was said first stands."""
        if self._over.is_set():
            return
        self._over.set()
        self._thread.join()
        # a disk that is full or gone takes no goodbye: the claim goes stale, then
        with suppress(CryospinError, OSError), atomic_path(self._path, recorded=False) as temporary:
            temporary.write_text(json.dumps(self._told | {"outcome": outcome, "problem": problem}))

    def check(self) -> None:
        """To be called as work goes on: quick, but after a sleep it looks before anything is done.

        Raises
        ------
        LostClaimError: the job is another worker's now.
        """
        if self.is_lost():
            raise LostClaimError(
                f"another worker has taken the job: {self._path} was not touched for too long"
            )

    def is_lost(self) -> bool:
        """Whether the job is another worker's now."""
        if _clock() - self._touched > self._doubt_seconds:
            self._touch()
        return self._lost

    def checked(self, progress: Callable[[str, int, int], None]) -> Callable[[str, int, int], None]:
        """`progress`, with a `check` before."""

        def told(step: str, done: int, total: int) -> None:
            self.check()
            progress(step, done, total)

        return told

    def _touch(self) -> None:
        try:
            if self._following.exists() or not self._path.exists():
                self._lost = True
            else:
                os.utime(self._path)
                self._touched = _clock()
        except OSError:
            pass  # the disk is away; it may come back before anybody else takes the job

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            self._touch()


def take(folder: Path, name: str, lost_after_seconds: float = LOST_AFTER_SECONDS) -> Hold | None:
    """The job, to be entered as a context; None where another worker has it.

    Raises
    ------
    ResourceError: nothing can be written to the folder.
    """
    before = newest_claim(folder, name, lost_after_seconds)
    if before is not None and before.is_held:
        return None
    number = 1 if before is None else before.number + 1
    path, told = _path(folder, name, number), _this_process()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return None
    except OSError as error:
        raise resource_error(error, path) from error
    with open(descriptor, "w") as file:
        file.write(json.dumps(told))
        file.flush()
        os.fsync(file.fileno())
    return Hold(path, _path(folder, name, number + 1), told, lost_after_seconds / 2)


def _path(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}.{number:04d}"


def _read(path: Path) -> tuple[float, bytes]:
    """When it was touched, and what it says. Opening asks the server, also on NFS."""
    while True:
        try:
            with open(path, "rb") as file:
                return os.fstat(file.fileno()).st_mtime, file.read()
        except OSError as error:
            if error.errno != errno.ESTALE:  # given back, and so replaced, in between
                raise resource_error(error, path) from error


def _newest_number(folder: Path, name: str) -> int:
    """0 where there is no claim. Also past a listing that is out of date, as on NFS."""
    claim = re.compile(re.escape(name) + r"\.(\d{4,})")
    found = (claim.fullmatch(entry) for entry in (os.listdir(folder) if folder.is_dir() else ()))
    number = max((int(match[1]) for match in found if match), default=0)
    while _path(folder, name, number + 1).exists():
        number += 1
    return number


def _now_there(folder: Path) -> float:
    """The time by the clock that stamps the folder's files."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            return os.fstat(probe.fileno()).st_mtime
    except OSError as error:
        raise resource_error(error, folder) from error


def _clock() -> float:
    """Seconds that a machine's sleep does not stop."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _told(text: bytes) -> dict[str, Any]:
    """Empty for a claim whose maker is about to sign, or was killed before."""
    try:
        told = json.loads(text)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _this_process() -> dict[str, Any]:
    return {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        "installation": _installation(),
        "boot": _boot(),
        "process_numbers": os.readlink("/proc/self/ns/pid"),
        "started": _started(os.getpid()),
    }


def _boot() -> str:
    """One start of one machine. Host names will not do: machines of a cloud may share one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _installation() -> str:
    """Of the operating system, through all its starts; empty where it has no name."""
    with suppress(OSError):
        return Path("/etc/machine-id").read_text().strip()
    return ""


def _started(process: int) -> str | None:
    """When, in the kernel's count, so that another process of that number is not taken for it;
    None where it has ended."""
    try:
        # what follows the name, which may hold anything
        words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if words[0] in "ZX" else words[19]


def _is_alive(holder: dict[str, Any]) -> bool | None:
    """None where that cannot be told from here."""
    ours = _this_process()
    if holder.get("boot") != ours["boot"]:
        # this machine before it was started again, or another one: copies share a name, too
        again = all(holder.get(name) == ours[name] for name in ("host", "installation"))
        return False if again and ours["installation"] else None
    # a container counts processes for itself
    if holder.get("process_numbers") != ours["process_numbers"]:
        return None
    return _started(holder.get("process", 0)) == holder.get("started")
