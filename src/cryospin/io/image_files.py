"""Where the images of a table lie: names to files, and one box and pixel size for all.

Shared by the tables of every program. What a name looks like is each reader's business.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

import numpy as np

from cryospin.errors import BadDataError
from cryospin.io.mrc_header import read_header
from cryospin.types import Optics, ParticleStack

LOOKED_FOR = (
    "names count from the table's folder or one above it, and if it is a link, from where it"
    " leads; put the stack there"
)
"""The rule of `resolved_stack`, as the fix of an error."""

_IMPORT_DIGITS = re.compile(r"^\d{21}_")


def resolved_stack(name: str, table: Path) -> Path:
    """The file of that name, as a table there means it.

    The first that exists of: beside the table as its path was given, or below one of the
    folders above it (the project); the same for the place of the table itself, where that path
    leads through a link; the name from the working folder. Else the first of these.
    """
    # os.path, for Path.exists raises where a name is too long for the file system
    for place in (table.absolute(), Path(os.path.realpath(table))):
        for folder in place.parents:
            if os.path.exists(folder / name):
                return folder / name
    return Path(name) if os.path.exists(name) else table.parent / name


def numbered_stacks(
    names: list[str], table: Path
) -> tuple[tuple[Path, ...], np.ndarray, dict[str, int]]:
    """The distinct files in order of appearance, each name's file (n,), and the file of a name."""
    places: dict[str, int] = {}
    file_index = np.array([places.setdefault(name, len(places)) for name in names], dtype=np.int64)
    return tuple(resolved_stack(name, table) for name in places), file_index, places


def image_uid(slice_index: int, stack: str) -> str:
    """A particle's name, `000001@stack`, counted from 1: the same whatever table tells of it."""
    return f"{slice_index + 1:06d}@{stack}"


def stack_of(uid: str) -> str:
    """The stack's name in a particle's."""
    return uid.partition("@")[2]


def number_and_file_name(uid: str) -> str:
    """A particle's name without what programs change of it.

    That is: the folder, the ending (.mrc here is .mrcs there), and the 21 digits that
    cryoSPARC puts before an imported file's name.
    """
    number, _, stack = uid.partition("@")
    return f"{number}@{_IMPORT_DIGITS.sub('', PurePosixPath(stack).stem)}"


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


def names_for(stack: ParticleStack, table: Path) -> list[str]:
    """Each particle's stack as a new table at `table` shall name it.

    As the old table did where that leads to the same file or the file does not exist;
    else by its absolute path.
    """
    names = [stack_of(uid) for uid in stack.uids]
    known: dict[tuple[str, int], str] = {}
    for name, number in zip(names, stack.file_index.tolist(), strict=True):
        if (name, number) not in known:
            file = stack.files[number]
            found = resolved_stack(name, table)
            same = not os.path.exists(file) or (
                os.path.exists(found) and os.path.samefile(file, found)
            )
            known[name, number] = name if same else str(file.resolve())
    return [known[key] for key in zip(names, stack.file_index.tolist(), strict=True)]
