"""A folder of checkpoints: the newest two states of each part of a run, and their manifest.

Every file is written beside its place, flushed to the disk, then renamed. The manifest names
each state with its SHA-256 and the run they belong to; it carries a hash of itself, and the one
before it is kept. So whatever file is damaged or missing, an older state takes over.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryospin.io.atomic import atomic_path, left_unfinished
from cryospin.io.run_folder import COEFFICIENTS
from cryospin.journal.settings import refuse_difference
from cryospin.journal.tree import Tree, packed, unpacked

MANIFEST, MANIFEST_BEFORE = "manifest.json", "manifest.previous.json"
_SUFFIX = ".safetensors"
# part and number, as `write` names them: a network that somebody keeps here is not one of ours
_STATE = re.compile(r".+\.\d{6,}\.safetensors")
_KEPT = 2

Run = dict[str, Any]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class StoredState:
    """A file of the folder and what it must hash to."""

    file: str
    sha256: str


_Parts = dict[str, list[StoredState]]


class Checkpoints:
    """Safe to use from several threads. tell: called with what a user should know."""

    def __init__(self, folder: Path, run: Run, tell: Tell, parts: _Parts, number: int):
        self._folder, self._run, self._tell = folder, run, tell
        self._parts, self._parts_before, self._number = parts, parts, number
        self._lock = threading.Lock()

    @classmethod
    def begun(cls, folder: Path, run: Run, tell: Tell = lambda told: None) -> Checkpoints:
        """A folder without states; those of an earlier run are removed.

        Raises
        ------
        ResourceError: the disk does not take it.
        """
        remove_checkpoints(folder)
        folder.mkdir(parents=True, exist_ok=True)
        fresh = cls(folder, run, tell, {}, 0)
        fresh._write_manifest({}, 0)
        return fresh

    @classmethod
    def resumed(cls, folder: Path, run: Run, tell: Tell = lambda told: None) -> Checkpoints:
        """The folder as an earlier process left it; begun anew where there is nothing to read.

        Raises
        ------
        UsageError: the states belong to another run than `run`.
        ResourceError: as `begun`.
        """
        found = [_content(folder / name) for name in (MANIFEST, MANIFEST_BEFORE)]
        if (folder / MANIFEST).exists() and found[0] is None:
            older = "an older one is taken" if found[1] else "the run starts over"
            tell(f"{folder / MANIFEST} is damaged: {older}")
            (folder / MANIFEST).unlink()
        content = found[0] or found[1]
        if content is None:
            return cls.begun(folder, run, tell)
        refuse_difference(folder, content["run"], run)
        parts = {
            part: [StoredState(**state) for state in states]
            for part, states in content["parts"].items()
        }
        checkpoints = cls(folder, run, tell, parts, content["number"])
        checkpoints._remove_all_but(parts)
        return checkpoints

    def write(self, part: str, state: Tree) -> None:
        """Keep a state of `part` beside the one before.

        Raises
        ------
        ResourceError: the disk does not take it; what was kept before is as it was.
        """
        data = packed(state)
        with self._lock:
            number = self._number + 1
            name = f"{part.replace('/', '.')}.{number:06d}{_SUFFIX}"
            # the manifest is the record of this folder
            with atomic_path(self._folder / name, recorded=False) as temporary:
                temporary.write_bytes(data)
            newest = StoredState(name, _hash(data))
            kept = [newest, *self._parts.get(part, [])][:_KEPT]
            self._write_manifest(self._parts | {part: kept}, number)

    def newest(self, part: str) -> Tree | None:
        """The last state of `part` that is sound."""
        for state in self._parts.get(part, []):
            path = self._folder / state.file
            data = path.read_bytes() if path.exists() else b""
            if _hash(data) == state.sha256:
                return unpacked(data)
            self._tell(f"{path} is damaged: the state before it is taken")
        return None

    def _write_manifest(self, parts: _Parts, number: int) -> None:
        content = {
            "run": self._run,
            "number": number,
            "parts": {part: [asdict(state) for state in parts[part]] for part in parts},
        }
        manifest = self._folder / MANIFEST
        with atomic_path(manifest, recorded=False) as temporary:
            text = json.dumps({"sha256": _hash(_canonical(content)), **content}, indent=1)
            temporary.write_text(text)
            if manifest.exists():
                os.replace(manifest, self._folder / MANIFEST_BEFORE)
        self._parts, self._parts_before, self._number = parts, self._parts, number
        self._remove_all_but(self._parts, self._parts_before)

    def _remove_all_but(self, *manifests: _Parts) -> None:
        """States that no manifest names, and what a killed process was writing."""
        named = {state.file for parts in manifests for kept in parts.values() for state in kept}
        for path in (*_states(self._folder), *left_unfinished(self._folder)):
            if path.name not in named:
                path.unlink()


def remove_checkpoints(folder: Path) -> None:
    """Take away every file of ours, and the folder if nothing else is in it."""
    manifests = (folder / MANIFEST, folder / MANIFEST_BEFORE)
    images = [*folder.glob(f"*{COEFFICIENTS}")]
    notes = [path.with_suffix(".json") for path in images]
    for path in (*_states(folder), *left_unfinished(folder), *manifests, *notes, *images):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _states(folder: Path) -> list[Path]:
    return [path for path in folder.glob(f"*{_SUFFIX}") if _STATE.fullmatch(path.name)]


def _content(path: Path) -> dict[str, Any] | None:
    """What a manifest says, if it is there and sound."""
    try:
        content = json.loads(path.read_bytes())
        said = content.pop("sha256")
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return None
    return content if said == _hash(_canonical(content)) else None


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True).encode()


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
