"""One process at a time: a lock file, which the kernel opens when its holder ends, however it ends.

The file says who holds it. It is removed at the end; what a killed process left is taken over.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from cryospin.errors import InUseError
from cryospin.io.atomic import resource_error

LOCK = ".cryospin.lock"
"""Name of the lock file of an output folder."""

_HELD = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK}
# what file systems without locks say (some network disks)
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}


@contextmanager
def sole_use(what: Path, lock: Path) -> Iterator[None]:
    """Hold the file `lock` while the block runs, so that no other process works on `what`.

    Raises
    ------
    InUseError: another process holds it; names the process, its machine, and since when.
    ResourceError: the lock file cannot be written.
    """
    try:
        descriptor = _taken(what, lock)
    except OSError as error:
        raise resource_error(error, what) from error
    try:
        yield
    finally:
        # removed while it is held: whoever opened it meanwhile sees that it is gone
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def refuse_in_use(what: Path, lock: Path) -> None:
    """Raise InUseError where a process holds the file `lock`; for a look, nothing is written."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        _lock(descriptor, False, what, lock)
    finally:
        os.close(descriptor)


def remove_left_by(holder: dict[str, Any], lock: Path) -> None:
    """Remove the file of a `process` on a `host` that is known to be gone, if it is still its.

    Only a disk without locks needs it, and on others nothing is done: the kernel has opened the
    lock, or somebody holds it.
    """
    with suppress(OSError):
        descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            left = _holder(descriptor) if error.errno in _NO_LOCKS else {}
            if left and all(left.get(name) == holder.get(name) for name in ("process", "host")):
                lock.unlink()
        finally:
            os.close(descriptor)


def _taken(what: Path, lock: Path) -> int:
    """The descriptor of the lock file, which is ours."""
    while True:
        flags = os.O_RDWR | os.O_NOFOLLOW
        try:
            descriptor, fresh = os.open(lock, flags | os.O_CREAT | os.O_EXCL, 0o666), True
        except FileExistsError:
            try:
                descriptor, fresh = os.open(lock, flags), False
            except FileNotFoundError:
                continue
        try:
            _lock(descriptor, fresh, what, lock)
            if _is_still(descriptor, lock):
                _sign(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, fresh: bool, what: Path, lock: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise _in_use(what, _holder(descriptor)) from None
        if error.errno not in _NO_LOCKS:
            raise
        # without locks the file itself is one: ours if we made it, or if its maker has ended here
        holder = {} if fresh else _holder(descriptor)
        if not fresh and not _has_ended(holder):
            raise _in_use(what, holder, lock) from None


def _is_still(descriptor: int, lock: Path) -> bool:
    """Whether the file is in its place: its last holder may have removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(lock))
    except FileNotFoundError:
        return False


def _sign(descriptor: int) -> None:
    told = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(told).encode(), 0)


def _holder(descriptor: int) -> dict[str, Any]:
    """What the holder signed with; empty where it cannot be read."""
    for _ in range(10):
        try:
            told = json.loads(os.pread(descriptor, 4096, 0))
            return told if isinstance(told, dict) else {}
        except ValueError:
            time.sleep(0.02)  # it has the lock and is about to sign
    return {}


def _has_ended(holder: dict[str, Any]) -> bool:
    """Whether the holder is known to live no more; of another machine that cannot be told."""
    if holder.get("host") != socket.gethostname() or not isinstance(holder.get("process"), int):
        return False
    try:
        os.kill(holder["process"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _in_use(what: Path, holder: dict[str, Any], lock: Path | None = None) -> InUseError:
    who = "by another cryospin"
    if holder:
        who += ": process {process} on {host}, since {since}".format_map(
            {"process": "?", "host": "?", "since": "?"} | holder
        )
    fix = "wait until it has ended, or give another output"
    if lock is not None:
        fix += f"; if it was killed, remove {lock}"
    return InUseError(f"{what} is in use {who}\n  fix: {fix}")
