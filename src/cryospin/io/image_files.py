"""Where the images of a table lie: names to files, and one box and pixel size for all.

Shared by the tables of every program. What a name looks like is each reader's business.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Int

from cryospin.errors import BadDataError
from cryospin.io.mrc_header import read_header
from cryospin.io.run_folder import NOT_CONVERGED
from cryospin.optics import Optics
from cryospin.types import ParticleStack

LOOKED_FOR = (
    "names count from the table's folder or one above it, and if it is a link, from where it"
    " leads; put the stack there"
)
"""The rule of `resolved_stack`, as the fix of an error."""


def resolved_stack(name: str, table: Path) -> Path:
    """The file of that name, as a table there means it.

    The first that exists of: beside the table as its path was given, or below one of the
    folders above it (the project); the same for the place of the table itself, where that path
    leads through a link; the name from the working folder; the same as of the table, for that
    which a run has read whose own table this is. Else the first of these.
    """
    found = _found_from(name, table)
    if found is not None:
        return found
    if os.path.exists(name):
        return Path(name)
    read = _read_by_the_run(table.absolute().parent)
    return (None if read is None else _found_from(name, read)) or table.parent / name


def _found_from(name: str, table: Path) -> Path | None:
    """As `resolved_stack`, whatever folder a command is started in."""
    # os.path, for Path.exists raises where a name is too long for the file system
    for place in (table.absolute(), Path(os.path.realpath(table))):
        for folder in place.parents:
            if os.path.exists(folder / name):
                return folder / name
    return None


def _read_by_the_run(folder: Path) -> Path | None:
    """The table that a run has read which wrote into this folder, if one did."""
    try:
        result = json.loads((folder / "result.json").read_text())
        return Path(result["settings"]["particles"])
    except (OSError, ValueError, KeyError, TypeError):
        # what did not converge lies in a folder of its own
        return _read_by_the_run(folder.parent) if folder.name == NOT_CONVERGED else None


@lru_cache(maxsize=65536)
def plain_name(stack: str) -> str:
    """One spelling of a path: `a.mrcs` for `./a.mrcs`; `..` stays, for links may lie there."""
    return str(PurePosixPath(stack))


def numbered_stacks(
    names: list[str], table: Path
) -> tuple[tuple[Path, ...], np.ndarray, dict[str, int]]:
    """The distinct files in order of appearance, each name's file (n,), and the file of a name."""
    places: dict[str, int] = {}
    plain = map(plain_name, names)
    file_index = np.array([places.setdefault(name, len(places)) for name in plain], dtype=np.int64)
    return tuple(resolved_stack(name, table) for name in places), file_index, places


def image_uid(slice_index: int, stack: str) -> str:
    """A particle's name, `000001@stack`, counted from 1: the same whatever table tells of it."""
    return f"{slice_index + 1:06d}@{plain_name(stack)}"


def stack_of(uid: str) -> str:
    """The stack's name in a particle's."""
    return uid.partition("@")[2]


def same_image(stack: ParticleStack) -> Int[np.ndarray, " n"]:
    """A number per particle, equal where two rows are one image of one file, however named."""
    places: dict[str, int] = {}
    files = [places.setdefault(os.path.realpath(file), len(places)) for file in stack.files]
    return np.array(files, dtype=np.int64)[stack.file_index] << 32 | stack.slice_index


def one_pixel_size(
    optics: tuple[Optics, ...], group: np.ndarray, table: Path, column: str
) -> float:
    """Of all particles, in Angstrom. Raises BadDataError where they differ."""
    sizes = {optics[i].pixel_size_angstrom for i in np.unique(group)}
    if max(sizes) - min(sizes) > 1e-4 * max(sizes):
        found = ", ".join(f"{size:g}" for size in sorted(sizes))
        problem = f"particles of several pixel sizes: {found} Angstrom"
        fix = "extract all particles at one pixel size, or split the table by optics group"
        raise BadDataError(problem, file=table, column=column, fix=fix)
    return optics[group[0]].pixel_size_angstrom


def box_of_first_stack(files: tuple[Path, ...], table: Path, column: str, hint: str) -> int:
    """In pixels, from the header of the first stack there is.

    Raises BadDataError where there is none; `hint` says what else would tell the box.
    """
    path = next((file for file in files if os.path.exists(file)), None)
    if path is None:
        raise BadDataError(
            f"stack {files[0]} does not exist, and {hint}",
            file=table,
            row=1,
            column=column,
            fix=LOOKED_FOR,
        )
    return read_header(path).shape[-1]


def names_for(stack: ParticleStack, table: Path, *, keep_lost: bool = False) -> list[str]:
    """Each particle's stack as a table at `table` shall name it.

    As the old table did where that leads to the same file or the file does not exist; else by
    its absolute path. `keep_lost` keeps names, too, that lead nowhere from there: a program
    may count them from another folder. One that leads to another file is never kept.
    """
    changed = _changed_names(stack, table, keep_lost)
    names = _name_of_file(stack) | changed
    return [names[number] for number in stack.file_index.tolist()]


def changed_names(stack: ParticleStack, table: Path) -> dict[int, str]:
    """The particles whose stacks a table at `table` cannot name as the old one did, with the names
    it shall use; names that lead nowhere from there are kept, as `names_for` can."""
    changed = _changed_names(stack, table, keep_lost=True)
    rows = np.flatnonzero(np.isin(stack.file_index, [*changed]))
    return {row: changed[stack.file_index[row]] for row in rows.tolist()}


def _changed_names(stack: ParticleStack, table: Path, keep_lost: bool) -> dict[int, str]:
    """Of the files that need another name, that name."""
    changed = {}
    for number, name in _name_of_file(stack).items():
        file, found = stack.files[number], _found_from(name, table)
        lost = found is None and os.path.exists(file)
        misleading = found is not None and _another_file(file, found)
        if misleading or (lost and not keep_lost):
            changed[number] = str(file.resolve())
    return changed


def out_of_reach(stack: ParticleStack, table: Path) -> str | None:
    """A stack's name that leads to its file from the old table, and nowhere from `table`."""
    for number, name in _name_of_file(stack).items():
        if os.path.exists(stack.files[number]) and _found_from(name, table) is None:
            return name
    return None


def misleading_name(stack: ParticleStack, table: Path) -> str | None:
    """A stack's name that leads to another file from `table`."""
    for number, name in _name_of_file(stack).items():
        found = _found_from(name, table)
        if found is not None and _another_file(stack.files[number], found):
            return name
    return None


def _name_of_file(stack: ParticleStack) -> dict[int, str]:
    """The name of each file in use."""
    numbers, first = np.unique(stack.file_index, return_index=True)
    return {int(n): stack_of(stack.uids[row]) for n, row in zip(numbers, first, strict=True)}


def _another_file(file: Path, found: Path) -> bool:
    """Whether `found` is not `file`; where there is no `file`, nothing says so."""
    return os.path.exists(file) and not os.path.samefile(file, found)
