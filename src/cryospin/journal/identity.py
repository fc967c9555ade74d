"""What makes two runs the same run: their input, and every setting that changes the result."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path
from typing import Any

from cryospin.journal.settings import FILES, effective
from cryospin.types import ParticleStack
from cryospin.version import code_digest, full_version


def identity(stack: ParticleStack, settings: dict[str, Any]) -> dict[str, Any]:
    """What two processes must share for one to go on where the other ended. JSON.

    settings: as in result.json. Image files count by name, size and time of last change; the
    program by its code, whatever version that has.
    """
    of_settings = {
        name: _file_hash(Path(value)) if name in FILES and value is not None else value
        for name, value in effective(settings).items()
    }
    images = hashlib.sha256()
    for file in stack.files:
        status = file.stat()
        images.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return {
        "code": code_digest(),
        "version": full_version(),
        "particle count": len(stack),
        "particle table": _table_hash(stack),
        "image files": images.hexdigest(),
        **of_settings,
    }


def _table_hash(stack: ParticleStack) -> str:
    """Of the table's bytes and of what was read: a .cs has companions."""
    digest = hashlib.sha256(stack.source.read_bytes() if stack.source.is_file() else b"")
    digest.update("\n".join(stack.uids).encode())
    for field in fields(stack.ctf):
        digest.update(getattr(stack.ctf, field.name).numpy().tobytes())
    for column in (
        stack.optics_group,
        stack.half_set,
        stack.coordinates_angstrom,
        stack.tubes,
        stack.image_sign,
    ):
        digest.update(b"" if column is None else column.tobytes())
    digest.update(repr((stack.optics, stack.box)).encode())
    return digest.hexdigest()


def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
