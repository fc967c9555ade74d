"""Which program's table a file is, read whatever it is; `table_writer` writes each of them.

A table keeps its own columns only in its own format; `with_columns_of` gives back those that a
detour through another program left behind.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cryospin.errors import BadDataError, UsageError
from cryospin.io.cryodrgn import read_cryodrgn
from cryospin.io.cryosparc import CryosparcTable, read_cryosparc
from cryospin.io.distortion import poses_from_images, poses_in_images
from cryospin.io.pairing import pair_particles
from cryospin.io.relion import (
    RelionTable,
    read_particles,
)
from cryospin.io.rows import rows_in_words
from cryospin.types import ParticleStack, Poses

RELION_30, RELION_31, CRYOSPARC, CRYODRGN = FORMATS = (
    "relion-3.0",
    "relion-3.1",
    "cryosparc",
    "cryodrgn",
)
_SUFFIXES = {".cs": CRYOSPARC, ".txt": CRYODRGN, ".mrcs": CRYODRGN, ".mrc": CRYODRGN}
_OUTPUTS = {RELION_30: ".star", RELION_31: ".star", CRYOSPARC: ".cs", CRYODRGN: ".txt"}


def read_particles_of_any_kind(
    path: Path | str,
    *,
    passthroughs: Sequence[Path | str] = (),
    poses: Path | str | None = None,
    ctf: Path | str | None = None,
) -> ParticleStack:
    """Read a particle table: a RELION .star, a cryoSPARC .cs, or cryoDRGN's .txt or .mrcs.

    Pixels stay on disk: `read_images` reads them.

    Parameters
    ----------
    path : path
        The table. Its suffix says which program's it is.
    passthroughs : sequence of path
        Passthrough files of a .cs, besides those found next to it.
    poses, ctf : path, optional
        Pickled arrays of a .txt or .mrcs, if they are not next to it.

    Returns
    -------
    ParticleStack
        In the order of the table.

    Raises
    ------
    BadDataError
        The file does not exist, names no images, or has a wrong value: the error names file,
        row, column and fix.
    """
    path = Path(path)
    if not os.path.exists(path):
        link = f"; it links to {os.readlink(path)}" if path.is_symlink() else ""
        raise BadDataError(f"no such file{link}", file=path, fix="check the path")
    kind = _SUFFIXES.get(path.suffix)
    if kind == CRYOSPARC:
        return read_cryosparc(path, passthroughs)
    if kind == CRYODRGN:
        return read_cryodrgn(path, poses, ctf)
    if path.suffix == ".pkl":
        fix = "give the .txt or .mrcs of the images, with this file beside it"
        raise BadDataError("names no images", file=path, fix=fix)
    return read_particles(path)


def poses_of(stack: ParticleStack) -> Poses:
    """The poses a table came with, all of them.

    Raises
    ------
    BadDataError: the table has none, or none for some particle of the stack.
    """
    unread = stack.unread.get("poses")
    if stack.poses is not None:
        lost = np.flatnonzero(~stack.poses.known.numpy())
        if not len(lost):
            return stack.poses
        row = int(stack.rows[lost[0]]) + 1
        if unread is None or unread.row != row:
            fix = "remove these rows, or give a table with all poses"
            raise BadDataError(
                f"no pose that is numbers ({len(lost)} such particles)",
                file=stack.source,
                row=row,
                column=None if unread is None else unread.column,
                fix=fix,
            )
    if unread is not None:
        raise unread
    raise BadDataError(
        "the table has no orientations",
        file=stack.source,
        column="rlnAngleRot",
        fix="give a table with rlnAngleRot, rlnAngleTilt, rlnAnglePsi (.cs: alignments3D/pose)",
    )


def poses_for_others(stack: ParticleStack) -> Poses | None:
    """The poses a table came with, if any, for a table of another program.

    Raises BadDataError for one that is no number: such a table has no place for that.
    """
    return poses_of(stack) if "poses" in stack.unread else stack.poses


def format_of(stack: ParticleStack) -> str:
    """The format of the table a stack was read from."""
    if isinstance(stack.table, RelionTable):
        return RELION_30 if stack.table.optics is None else RELION_31
    return CRYOSPARC if isinstance(stack.table, CryosparcTable) else CRYODRGN


def output_format(out: Path, wanted: str | None, stack: ParticleStack) -> str:
    """What to write: as said, else by the name of the file; a .star keeps its dialect.

    Raises UsageError where name and wish contradict each other or neither tells.
    """
    by_name = {
        suffix: [k for k, s in _OUTPUTS.items() if s == suffix] for suffix in _OUTPUTS.values()
    }
    possible = by_name.get(out.suffix, [])
    if wanted is not None and wanted not in FORMATS:
        raise UsageError(f"no format {wanted!r}\n  fix: choose from {', '.join(FORMATS)}")
    if not possible or (wanted is not None and wanted not in possible):
        suffix = _OUTPUTS.get(wanted or "", ".star, .cs or .txt")
        raise UsageError(f"{out}: what format is that?\n  fix: give a name that ends in {suffix}")
    if wanted is not None:
        return wanted
    own = format_of(stack)
    return own if own in possible else possible[-1]


def with_columns_of(original: ParticleStack, stack: ParticleStack) -> ParticleStack:
    """The rows of `original` that are the particles of `stack`, in its order, with its poses,
    half-sets and classes.

    Particles are matched as `pair_particles` says: also those that were made on fewer pixels.

    Raises
    ------
    BadDataError: a particle that `original` does not have, or that either has twice; a pose
        that is no number.
    """
    found, rows = pair_particles(stack, original)
    if len(found) < len(stack):
        missing = np.setdiff1d(np.arange(len(stack)), found)
        places = stack.rows[missing]
        problem = f"image {stack.uids[missing[0]]} is not in {original.source}"
        problem += f" ({len(missing)} such: {rows_in_words(places)})"
        fix = "give the table that these particles came from"
        raise BadDataError(problem, file=stack.source, row=int(places[0]) + 1, fix=fix)
    if "poses" in stack.unread:
        poses_of(stack)
    chosen = original.select(rows)
    poses = _with_confidence(stack, chosen)
    if poses is not None:
        poses = poses_in_images(poses, stack.optics, stack.optics_group)
        poses = poses_from_images(poses, chosen.optics, chosen.optics_group)
    return replace(
        chosen,
        poses=poses,
        half_set=stack.half_set,
        classes=chosen.classes if stack.classes is None else stack.classes,
        unread=stack.unread,
    )


def _with_confidence(stack: ParticleStack, found: ParticleStack) -> Poses | None:
    """The stack's poses; where no confidence came with them, that of `found`."""
    if stack.poses is None or found.poses is None or not bool((stack.poses.confidence == 1).all()):
        return stack.poses
    return replace(stack.poses, confidence=found.poses.confidence)
