"""cryoSPARC's `.cs` files as they are on disk: numpy structured arrays, joined by `uid`.

What the columns mean is in io.cryosparc_columns. Pickled objects are never read; no memory
is taken beyond the size of the files.
"""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib.format import descr_to_dtype, write_array

from cryospin.errors import BadDataError
from cryospin.io.atomic import atomic_path
from cryospin.io.rows import doubled, rows_in_words, rows_of_keys

_NUMPY_MAGIC = b"\x93NUMPY"
_COMPRESSED_MAGIC = b"\x94CSDAT"
# bytes of the header's length, by version of the format
_LENGTH_BYTES = {1: 2, 2: 4, 3: 4}
# numpy refuses more than 10,000 characters unless told; a table of some 200 columns has more.
# Python's parser takes about a hundred bytes for each, so there must be some end to it.
_MAX_HEADER = 1_000_000
_FIX = "export the particles from cryoSPARC again, or copy the file again"
# what Python's parser and numpy's types say of a header that lies or is damaged
_DAMAGE = (ValueError, TypeError, SyntaxError, OverflowError, KeyError, IndexError, AttributeError)
_EXHAUSTED = (RecursionError, MemoryError)


def read_cs(path: Path | str) -> np.ndarray:
    """The rows of a `.cs` file, (n,) of a structured type, in memory.

    numpy's own reader sets aside what the header says before it looks at the file, and its
    detour for the headers of Python 2 takes time that grows with the square of the header.

    Raises
    ------
    BadDataError: missing or damaged file, the compressed stream format, pickled objects, an
        array without named columns.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            _check_magic(file.read(6), path)
            try:
                return _read_rows(file, path)
            except (*_DAMAGE, *_EXHAUSTED) as error:
                first = (str(error).splitlines() or [""])[0][:100] or type(error).__name__
                raise BadDataError(f"damaged or cut off ({first})", file=path, fix=_FIX) from error
    except FileNotFoundError:
        raise BadDataError("no such file", file=path, fix="check the path") from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise BadDataError(problem, file=path, fix="check the path and permissions") from None


def _check_magic(magic: bytes, path: Path) -> None:
    if magic == _COMPRESSED_MAGIC:
        problem = "is in cryoSPARC's compressed stream format (CSDAT), which is not read here"
        fix = (
            "write it as a plain .cs with cryosparc-tools: "
            "Dataset.load('in.cs').save('out.cs', format=1)"
        )
        raise BadDataError(problem, file=path, fix=fix)
    if magic != _NUMPY_MAGIC:
        problem = f"begins with {magic!r}: no cryoSPARC table"
        raise BadDataError(problem, file=path, fix="give a .cs file of particles")


def _read_rows(file: BinaryIO, path: Path) -> np.ndarray:
    """What follows the magic: version, length of the header, header, rows."""
    version = file.read(2)
    width = _LENGTH_BYTES[version[0]]
    length = int.from_bytes(file.read(width), "little")
    if length > _MAX_HEADER:
        raise ValueError(f"a header of {length} bytes")
    text = file.read(length).decode("utf-8" if version[0] > 2 else "latin1")
    try:
        header = ast.literal_eval(text.strip())
    except SyntaxError:
        # cryoSPARC 2 ran on Python 2, which may write a length as 2019L
        header = ast.literal_eval(re.sub(r"(?<=\d)L(?=[,)])", "", text.strip()))
    dtype, shape = descr_to_dtype(header["descr"]), header["shape"]
    if dtype.hasobject:
        problem = "holds pickled Python objects, which are never read: they can run code"
        fix = "export the particles from cryoSPARC 2.11 or later"
        raise BadDataError(problem, file=path, fix=fix)
    if dtype.names is None or len(shape) != 1:
        problem = "an array without named columns"
        raise BadDataError(problem, file=path, fix="give a .cs file of particles")
    left = os.fstat(file.fileno()).st_size - file.tell()
    if not 0 <= shape[0] * dtype.itemsize <= left or not dtype.itemsize:
        raise ValueError(f"{left} bytes for {shape[0]} rows of {dtype.itemsize}")
    return np.fromfile(file, dtype, count=int(shape[0]))


def write_cs(path: Path | str, rows: np.ndarray) -> None:
    """Write whole or not at all, in numpy's plain format.

    Raises
    ------
    ResourceError: the disk does not take it.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as output:
        write_array(output, np.ascontiguousarray(rows), allow_pickle=False)


def passthroughs_beside(path: Path) -> list[Path]:
    """Files in the same folder that cryoSPARC named as passthroughs of particles.

    `cryosparc_P1_J2_003_particles.cs` goes with `P1_J2_passthrough_particles.cs`, and
    `J2_003_particles.cs` with `J2_passthrough_particles.cs`; classes and selections have
    words before `.cs`. Which of them holds the wanted particles, their uids tell. Where the
    table is a link, its own folder is looked into as well.
    """
    own = Path(os.path.realpath(path))
    linked = os.path.realpath(path.parent) != str(own.parent)
    found: list[Path] = []
    for folder in (path.parent, own.parent) if linked else (path.parent,):
        try:
            found += sorted(folder.glob("*passthrough_particles*.cs"))
        except OSError:
            continue
    return [file for file in found if file.name not in (path.name, own.name)]


def uids_of(rows: np.ndarray, path: Path) -> np.ndarray:
    """The column `uid`, (n,) uint64 without a double. Raises BadDataError otherwise."""
    assert rows.dtype.names is not None
    if "uid" not in rows.dtype.names or rows["uid"].ndim != 1 or rows["uid"].dtype.kind not in "iu":
        fix = "give a .cs file as cryoSPARC writes it"
        raise BadDataError("no such column of integers", file=path, column="uid", fix=fix)
    # one type for all, lest numpy compares signed with unsigned as rounded floats
    uids = rows["uid"].astype(np.uint64)
    double = np.flatnonzero(doubled(uids))
    if len(double):
        same = np.flatnonzero(uids == uids[double[0]])
        count = len(np.unique(uids[double]))
        raise BadDataError(
            f"{uids[double[0]]} is also in row {same[0] + 1}: it stands in {rows_in_words(same)}"
            f" ({count} such uids in {len(double)} rows)",
            file=path,
            row=int(same[1]) + 1,
            column="uid",
            fix="remove duplicate particles in cryoSPARC",
        )
    return uids


def covers(other: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether each of the uids `wanted` has a row in `other`."""
    names = other.dtype.names or ()
    if "uid" not in names or other["uid"].ndim != 1 or other["uid"].dtype.kind not in "iu":
        return False
    return bool(np.isin(wanted, other["uid"].astype(np.uint64)).all())


def joined(rows: np.ndarray, path: Path, other: np.ndarray, other_path: Path) -> np.ndarray:
    """`rows` with the columns of `other` that it lacks, matched by uid.

    Raises
    ------
    BadDataError: a particle that `other` does not know, or knows twice.
    """
    wanted, known = uids_of(rows, path), uids_of(other, other_path)
    place = rows_of_keys(wanted, known)
    missing = np.flatnonzero(place < 0)
    if len(missing):
        raise BadDataError(
            f"particle {wanted[missing[0]]} is not in {other_path}"
            f" ({len(missing)} such: {rows_in_words(missing)})",
            file=path,
            row=int(missing[0]) + 1,
            column="uid",
            fix="give the passthrough file of the same job",
        )
    added = [name for name in other.dtype.names or () if name not in (rows.dtype.names or ())]
    return with_columns(rows, {name: other[name][place] for name in added})


def with_columns(rows: np.ndarray, columns: dict[str, np.ndarray]) -> np.ndarray:
    """A copy with columns set; one that is there keeps its type, a new one comes at the end.

    Text may need more room than it had.
    """
    names = rows.dtype.names or ()
    descr = [
        (name, np.promote_types(rows.dtype[name], columns[name].dtype))
        if name in columns and rows.dtype[name].kind in "SU"
        else (name, rows.dtype[name])
        for name in names
    ]
    descr += [
        (name, np.dtype((values.dtype, values.shape[1:])))
        for name, values in columns.items()
        if name not in names
    ]
    result = np.empty(len(rows), dtype=np.dtype(descr))
    for name in names:
        result[name] = rows[name]
    for name, values in columns.items():
        result[name] = values
    return result
