"""Where a command may write: never over an input, nor over a file that cryospin did not make."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryospin.errors import UsageError
from cryospin.io.atomic import check_output_directory, resource_error
from cryospin.io.lock import LOCK, refuse_in_use, sole_use
from cryospin.io.older_runs import is_of_older_run, of_older_run
from cryospin.io.record import begin_record, is_ours
from cryospin.io.run_folder import CHECKPOINTS, LOG


@dataclass(frozen=True)
class Outputs:
    """What a command writes into its folder, by name; of all else there nothing is touched.

    files: each written whole. growing: files that are appended to. folders: below it, and filled
        with files of many names.
    """

    files: tuple[str, ...] = ()
    growing: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


@contextmanager
def claimed(
    folder: Path | str, outputs: Outputs, inputs: Iterable[Path] = (), needed_bytes: int = 0
) -> Iterator[None]:
    """The output folder, made if need be, for this process alone while the block runs.

    From then on the folder has a record of what is written there (io.record).

    Raises
    ------
    UsageError: what `check_outputs` refuses; another process is writing there.
    ResourceError: not creatable, not writable, or not enough free space.
    """
    folder = Path(folder)
    refuse_inputs(folder, outputs, inputs)
    check_output_directory(folder, needed_bytes)
    with sole_use(folder, folder / LOCK):
        begin_outputs(folder, outputs)
        yield


def check_outputs(folder: Path | str, outputs: Outputs, inputs: Iterable[Path] = ()) -> None:
    """What `claimed` looks at first, where long work comes before writing.

    Raises
    ------
    UsageError: the folder is an input or holds one, or a file that would be replaced is not one
        that cryospin made there.
    """
    refuse_inputs(Path(folder), outputs, inputs)
    refuse_foreign(Path(folder), outputs)


def check_output_file(path: Path | str, inputs: Iterable[Path] = ()) -> None:
    """A single file to write, named by the user, who may replace what is there, but no input.

    Raises
    ------
    UsageError: it is an input, by whatever name or link; another process is writing to its folder.
    ResourceError: it is a folder, or in a folder that does not exist.
    """
    path = Path(path)
    for file in inputs:
        if _same(path, file):
            named = "" if os.fspath(file) == os.fspath(path) else f" {file}"
            fix = "give another name for the output"
            raise UsageError(f"{path} is the input{named}\n  fix: {fix}")
    for wrong, number in (
        (path.is_dir(), errno.EISDIR),
        (not path.parent.exists(), errno.ENOENT),
        (not path.parent.is_dir(), errno.ENOTDIR),
    ):
        if wrong:
            raise resource_error(OSError(number, os.strerror(number)), path)
    refuse_in_use(path.parent, path.parent / LOCK)


def refuse_inputs(folder: Path, outputs: Outputs, inputs: Iterable[Path]) -> None:
    """Raise UsageError where the folder is or holds one of the inputs, or where a link leads from
    what would be written to one."""
    names = (*outputs.files, *outputs.growing, *outputs.folders)
    places = {os.path.realpath(folder / name) for name in outputs.folders}
    places |= {os.path.realpath((folder / name).parent) for name in names}
    places.add(os.path.realpath(folder))
    written = {_inode(folder), *(_inode(folder / name) for name in names)} - {None}
    files = [Path(file) for file in inputs]
    homes = {parent: os.path.realpath(parent) for parent in {file.parent for file in files}}
    for file in files:
        held = homes[file.parent] in places or _inode(file) in written
        # where a link leads is an input as much as the link
        if held or (file.is_symlink() and os.path.dirname(os.path.realpath(file)) in places):
            fix = "give another output folder, one of its own"
            raise UsageError(f"{folder} is an input or holds one: {file}\n  fix: {fix}")


def refuse_foreign(folder: Path, outputs: Outputs) -> None:
    """Raise UsageError where something would be replaced that cryospin did not make there."""
    for name in (*outputs.files, *outputs.growing, *outputs.folders):
        path = folder / name
        above = path.parent
        if above != folder and os.path.lexists(above) and not above.is_dir():
            path = above
        empty = name in outputs.folders and path.is_dir() and not any(path.iterdir())
        if os.path.lexists(path) and not (empty or is_ours(path) or is_of_older_run(path)):
            raise UsageError(
                f"{path} is in the way: cryospin did not make it here, or it was changed since"
                "\n  fix: move it elsewhere, or give another output"
            )


def begin_outputs(folder: Path, outputs: Outputs) -> None:
    """`refuse_foreign`, and from then on the folder's record tells what is written there.

    For a few files in a folder that others may be writing to; else it is to be claimed.

    Raises
    ------
    UsageError: something would be replaced that cryospin did not make there.
    ResourceError: the record cannot be written.
    """
    refuse_foreign(folder, outputs)
    try:
        older = of_older_run(folder)
        by_name = {LOG, CHECKPOINTS} & {*older} | {*outputs.growing, *outputs.folders}
        begin_record(folder, sorted(by_name), [name for name in older if name not in by_name])
    except OSError as error:
        raise resource_error(error, folder / outputs.files[0]) from error


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
