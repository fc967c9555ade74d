"""Files appear whole or not at all, and a disk that cannot take them is told early."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryospin.errors import ResourceError
from cryospin.io.record import record_file

_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space or write to another disk"),
    errno.EDQUOT: ("the disk quota is used up", "free some space or write to another disk"),
    errno.EFBIG: ("the file is larger than allowed here", "write to another disk"),
    errno.EACCES: ("no permission to write here", "choose a folder you may write to"),
    errno.EPERM: ("no permission to write here", "choose a folder you may write to"),
    errno.EROFS: ("the disk is mounted read-only", "choose a folder you may write to"),
    errno.ENOENT: ("the folder does not exist", "create the folder first"),
    errno.ENOTDIR: ("a part of this path is a file", "choose a path through folders only"),
    errno.EEXIST: ("a part of this path is a file", "choose a path through folders only"),
    errno.EISDIR: ("this is a folder", "give the name of a file"),
}


def resource_error(error: OSError, path: Path) -> ResourceError:
    """The operating system's refusal to write `path`, in words with a cure."""
    reason, fix = _REASONS.get(
        error.errno or 0, (error.strerror or str(error), "check the output path")
    )
    return ResourceError(f"{path}: {reason}\n  fix: {fix}")


@contextmanager
def atomic_path(path: Path | str, recorded: bool = True) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name only if the block ends well.

    recorded: tell the record of the folder, where it has one (io.record).

    Raises
    ------
    ResourceError: what the operating system says against writing there, from the block too.
    """
    target = Path(path)
    # the name begins with a dot and ends in .tmp: nothing that looks finished stays behind
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
            if recorded:
                # before it appears: whenever the process is killed, the record knows the file
                record_file(target, written)
        os.replace(temporary, target)
    except OSError as error:
        if error.errno not in _REASONS:
            raise
        raise resource_error(error, target) from error
    finally:
        # where the path leads through a file there is nothing to remove
        with suppress(FileNotFoundError, NotADirectoryError):
            temporary.unlink()


def left_unfinished(folder: Path, name: str = "*") -> list[Path]:
    """The temporary files of `atomic_path` that killed processes left in a folder."""
    found = folder.glob(f".{name}.*.tmp")
    return [path for path in found if path.name.split(".")[-2].isdecimal()]


def check_output_directory(path: Path | str, needed_bytes: int = 0) -> None:
    """Create the folder if need be and see that `needed_bytes` can be written there.

    Space is looked at first: a refusal leaves no folder behind.

    Raises
    ------
    ResourceError: not creatable, not writable, or not enough free space.
    """
    directory = Path(path)
    disk = next(place for place in (directory, *directory.absolute().parents) if place.exists())
    free = shutil.disk_usage(disk).free
    if free < needed_bytes:
        raise ResourceError(
            f"{directory}: {needed_bytes / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free"
            "\n  fix: free some space or write to another disk"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # permission bits lie on network disks and for root: only writing tells
        with tempfile.TemporaryFile(dir=directory) as probe:
            probe.write(b"x")
            probe.flush()
    except OSError as error:
        raise resource_error(error, directory) from error
