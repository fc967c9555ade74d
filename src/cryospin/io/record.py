"""Which files of a folder cryospin made: only those may a later run replace or remove.

An output folder keeps a record, `.cryospin.jsonl`: a line for each file with its SHA-256, written
just before the file takes its name. A file is ours while its content is what the record says, so
a file that was changed or put there since is not. What grows line by line, and a folder of our
own, are known by name alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path

RECORD = ".cryospin.jsonl"


def begin_record(folder: Path, by_name: Iterable[str] = (), by_content: Iterable[str] = ()) -> None:
    """See that the folder has a record, and that it holds the names of what will grow.

    by_content: files that are there already and ours, as they are now.

    Raises
    ------
    OSError: the record cannot be written.
    """
    record = folder / RECORD
    known, fresh = _known(record), not record.exists()
    try:
        lines = [{"file": name} for name in by_name if None not in known.get(name, ())]
        _append(record, lines + [_line(folder, name) for name in by_content])
    except OSError:
        if fresh:
            record.unlink(missing_ok=True)
        raise


def record_file(path: Path, written: BufferedReader) -> None:
    """Tell the record, where there is one, that `path` is about to hold what was `written`.

    Raises
    ------
    OSError: the record cannot be written.
    """
    if (place := _place(path)) is not None:
        record, name = place
        digest = hashlib.file_digest(written, "sha256").hexdigest()
        _append(record, [{"file": name, "sha256": digest}])


def is_ours(path: Path) -> bool:
    """Whether the record says that what is there now was made by cryospin."""
    place = _place(path)
    if place is None:
        return False
    record, name = place
    known = _known(record).get(name, set())
    if path.is_dir():
        return None in known
    if not known or path.is_symlink() or not path.is_file():
        return False
    if None in known:
        return True
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() in known


def _place(path: Path) -> tuple[Path, str] | None:
    """The record a file belongs into, its folder's or that of the folder above; its name there."""
    path = Path(os.path.abspath(path))
    for folder in path.parents[:2]:
        if (folder / RECORD).is_file():
            return folder / RECORD, path.relative_to(folder).as_posix()
    return None


def _known(record: Path) -> dict[str, set[str | None]]:
    """Hashes by file name; None among them: the name is enough."""
    known: dict[str, set[str | None]] = {}
    for line in record.read_bytes().splitlines() if record.is_file() else []:
        try:
            told = json.loads(line)
            known.setdefault(told["file"], set()).add(told.get("sha256"))
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # cut off by a power cut
    return known


def _line(folder: Path, name: str) -> dict[str, str]:
    with open(folder / name, "rb") as file:
        return {"file": name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _append(record: Path, lines: list[dict[str, str]]) -> None:
    whole = not record.exists() or record.read_bytes()[-1:] in (b"", b"\n")
    with open(record, "ab") as file:
        if lines and not whole:
            file.write(b"\n")  # after a line that was cut off
        file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())
