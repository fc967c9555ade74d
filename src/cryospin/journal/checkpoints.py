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
_RANK = "rank"

Run = dict[str, Any]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class StoredState:
    """A file of the folder and what it must hash to."""

    file: str
    sha256: str


_Parts = dict[str, list[StoredState]]


class Checkpoints:
    """Safe to use from several threads. tell: called with what a user should know. before: states
    that stand where this folder has none of a part."""

    def __init__(
        self,
        folder: Path,
        run: Run,
        tell: Tell,
        parts: _Parts,
        number: int,
        before: Checkpoints | None = None,
    ):
        self._folder, self._run, self._tell, self._before = folder, run, tell, before
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
        parts = _parts_of(content)
        checkpoints = cls(folder, run, tell, parts, content["number"])
        checkpoints._remove_all_but(parts)
        for other in _of_other_ranks(folder):
            checkpoints._take_over(other)
        return checkpoints

    @classmethod
    def of_another_rank(
        cls, folder: Path, run: Run, rank: int, tell: Tell = lambda told: None
    ) -> Checkpoints:
        """For a process that writes beside the first one, into a folder of its own within
        `folder`; what the first one found there when it began stands for both."""
        content = _content(folder / MANIFEST) or {"parts": {}, "number": 0}
        found = cls(folder, run, tell, _parts_of(content), content["number"])
        own = cls.begun(folder / f"{_RANK}{rank}", run, tell)
        own._before = found
        return own

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

    def newest(self, part: str, device: str = "cpu") -> Tree | None:
        """The last state of `part` that is sound; what was on a card is on the device."""
        for state in self._parts.get(part, []):
            path = self._folder / state.file
            data = path.read_bytes() if path.exists() else b""
            if _hash(data) == state.sha256:
                return unpacked(data, device)
            self._tell(f"{path} is damaged: the state before it is taken")
        return self._before.newest(part, device) if self._before is not None else None

    def _take_over(self, other: Path) -> None:
        """The states of another rank, which went on from those here: its are newer."""
        content = _content(other / MANIFEST) or _content(other / MANIFEST_BEFORE)
        if content is not None and content["run"] == self._run:
            parts, number = dict(self._parts), self._number
            for part, states in _parts_of(content).items():
                moved = []
                for state in states:
                    if (other / state.file).exists():
                        number += 1
                        name = f"{part.replace('/', '.')}.{number:06d}{_SUFFIX}"
                        os.replace(other / state.file, self._folder / name)
                        moved.append(StoredState(name, state.sha256))
                parts[part] = (moved + self._parts.get(part, []))[:_KEPT]
            self._write_manifest(parts, number)
        remove_checkpoints(other)

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


def run_before(folder: Path) -> Run | None:
    """What the states in a folder are of, if there are any."""
    content = _content(folder / MANIFEST) or _content(folder / MANIFEST_BEFORE)
    return None if content is None else content["run"]


def remove_checkpoints(folder: Path) -> None:
    """Take away every file of ours, and the folder if nothing else is in it."""
    manifests = (folder / MANIFEST, folder / MANIFEST_BEFORE)
    images = [*folder.glob(f"*{COEFFICIENTS}")]
    notes = [path.with_suffix(".json") for path in images]
    for path in (*_states(folder), *left_unfinished(folder), *manifests, *notes, *images):
        path.unlink(missing_ok=True)
    for other in _of_other_ranks(folder):
        remove_checkpoints(other)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _of_other_ranks(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{_RANK}*") if path.is_dir())


def _parts_of(content: dict[str, Any]) -> _Parts:
    """Of a manifest."""
    return {
        part: [StoredState(**state) for state in states]
        for part, states in content["parts"].items()
    }


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
