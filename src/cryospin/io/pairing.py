"""Which particle of one table is which of another, by the image it shows.

A table may hold a stack's images in any order, name it from another folder, and have been made
on other pixels. Names decide, then; and whatever would give a particle two partners, or
another's, is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Bool, Int, Shaped

from cryospin.errors import BadDataError
from cryospin.io.cryosparc import CryosparcTable
from cryospin.io.rows import doubled, rows_in_words, rows_of_keys
from cryospin.names import ImageNames, chosen
from cryospin.types import ParticleStack

_IMPORT_DIGITS = re.compile(r"^\d{21}_")


@dataclass(frozen=True)
class _Key:
    """What the particles of two tables may have in common: equal where they are the same.

    by_name: the images' own names say so, which may be so by accident.
    alike: stacks of one table that are one to the key, and in the other table.
    """

    ours: Shaped[np.ndarray, " n"]
    theirs: Shaped[np.ndarray, " m"]
    by_name: bool = True
    alike: tuple[str, ...] = ()

    def common(self) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " m"]]:
        return np.isin(self.ours, self.theirs), np.isin(self.theirs, self.ours)


@dataclass(frozen=True)
class _Names:
    """`number[i]` in `stacks[stack[i]]` is the name of particle i."""

    stacks: tuple[str, ...]
    stack: Int[np.ndarray, " n"]
    number: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, names: Sequence[str]) -> _Names:
        if isinstance(names, ImageNames):
            return cls(names.stacks, names.stack, names.number)
        places: dict[str, int] = {}
        stack, number = np.zeros((2, len(names)), dtype=np.int64)
        for row, name in enumerate(names):
            before, _, after = name.partition("@")
            numbered = before.isdecimal() and len(before) < 10
            number[row] = int(before) if numbered else 0
            stack[row] = places.setdefault(after if numbered else name, len(places))
        return cls(tuple(places), stack, number)


def pair_particles(
    ours: ParticleStack, theirs: ParticleStack
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """The particles both tables have: their places in `ours`, ascending, and in `theirs`.

    They are told by the file and the image in it; else by cryoSPARC's uid; else by name, as it
    stands or by as much of its end as pairs the most particles (programs move, link and rename
    stacks). An image that was made from another one (rlnImageOriginalName) also goes by the
    name of that one: before its own where the two tables differ in box or pixel size.

    Raises
    ------
    BadDataError: no particle in common, an image in several rows, images that are named alike
        and were made from different ones.
    """
    best: tuple[np.ndarray, np.ndarray] = (np.empty(0, np.int64),) * 2
    refusal: BadDataError | None = None
    for key in _keys(ours, theirs):
        in_ours, in_theirs = key.common()
        if not in_ours.any():
            continue
        found = _doubles(ours, key.ours, in_ours) or _doubles(theirs, key.theirs, in_theirs)
        if found is None and key.alike:
            found = BadDataError(
                f"{' and '.join(key.alike[:2])} are not told apart by the names",
                file=ours.source,
                column="rlnImageName",
                fix="give two tables that name the same paths of stacks",
            )
        elif found is None:
            rows = np.flatnonzero(in_ours)
            pairs = rows, rows_of_keys(key.ours[rows], key.theirs)
            found = _contradiction(ours, theirs, *pairs) if key.by_name else None
        if found is not None:
            refusal = refusal or found
        elif len(pairs[0]) > len(best[0]):
            best = pairs
        if len(best[0]) == len(ours):
            break
    if not len(best[0]):
        problem = f"none of its images is in {theirs.source}: not {ours.uids[0]}"
        raise refusal or BadDataError(
            f"{problem} (there: {theirs.uids[0]})",
            file=ours.source,
            row=int(ours.rows[0]) + 1,
            column="rlnImageName",
            fix="give the table of the same particles",
        )
    return best


def _keys(ours: ParticleStack, theirs: ParticleStack) -> Iterator[_Key]:
    """Those to try, the surest first."""
    same_pixels = (ours.box, ours.pixel_size_angstrom) == (theirs.box, theirs.pixel_size_angstrom)
    if same_pixels:
        yield _Key(*_files(ours, theirs), by_name=False)
    if isinstance(ours.table, CryosparcTable) and isinstance(theirs.table, CryosparcTable):
        yield _Key(*(s.table.rows["uid"][s.rows].astype(np.uint64) for s in (ours, theirs)))
    ways = [*_ways(ours, theirs, same_pixels)]
    depth = max(len(PurePosixPath(s).parts) for a, b, _ in ways for s in a.stacks + b.stacks)
    folds: list[Callable[[str], str]] = [str, *map(_end_of, range(depth, 0, -1))]
    for fold in folds:
        yield from (_named(a, b, fold, by_name) for a, b, by_name in ways)


def _ways(
    ours: ParticleStack, theirs: ParticleStack, same_pixels: bool
) -> Iterator[tuple[_Names, _Names, bool]]:
    """The names to compare, own or original, and whether they are the own ones of both."""
    own, its_own = _Names.of(ours.uids), _Names.of(theirs.uids)
    original, its_original = (
        None if stack.original_names is None else _Names.of(stack.original_names)
        for stack in (ours, theirs)
    )
    if original and its_original:
        yield original, its_original, False
    if same_pixels:
        yield own, its_own, True
    if original:
        yield original, its_own, False
    if its_original:
        yield own, its_original, False
    if not same_pixels:
        yield own, its_own, True


def _files(ours: ParticleStack, theirs: ParticleStack) -> tuple[np.ndarray, np.ndarray]:
    """Keys of the images by file and place; those of files that are not there are unlike any."""
    places: dict[str, int] = {}
    keys = []
    for side, stack in enumerate((ours, theirs)):
        real = [os.path.realpath(file) if os.path.exists(file) else None for file in stack.files]
        codes = [-1 if name is None else places.setdefault(name, len(places)) for name in real]
        code = np.array(codes, dtype=np.int64)[stack.file_index]
        unlike = -1 - side - 2 * np.arange(len(stack))
        keys.append(np.where(code < 0, unlike, code << 32 | stack.slice_index))
    return keys[0], keys[1]


def _named(ours: _Names, theirs: _Names, fold: Callable[[str], str], by_name: bool) -> _Key:
    codes: dict[str, int] = {}
    left, right = (
        [codes.setdefault(fold(stack), len(codes)) for stack in names.stacks]
        for names in (ours, theirs)
    )
    keys = [
        np.array(code, dtype=np.int64)[names.stack] << 32 | names.number
        for code, names in ((left, ours), (right, theirs))
    ]
    alike = _alike(ours.stacks, left, {*right}) or _alike(theirs.stacks, right, {*left})
    return _Key(keys[0], keys[1], by_name, alike)


def _alike(stacks: tuple[str, ...], codes: list[int], others: set[int]) -> tuple[str, ...]:
    """Stacks of one code that the other table has, too; none where each has its own."""
    held: dict[int, list[str]] = {}
    for stack, code in zip(stacks, codes, strict=True):
        held.setdefault(code, []).append(stack)
    return next((tuple(s) for code, s in held.items() if len(s) > 1 and code in others), ())


def _end_of(parts: int) -> Callable[[str], str]:
    """The last parts of a path, without what programs change of a file's name.

    That is: the ending (.mrc here is .mrcs there), and the 21 digits that cryoSPARC puts before
    an imported file's name.
    """

    def fold(stack: str) -> str:
        path = PurePosixPath(stack)
        return "/".join([*path.parts[:-1], _IMPORT_DIGITS.sub("", path.stem)][-parts:])

    return fold


def _doubles(
    stack: ParticleStack, keys: np.ndarray, common: Bool[np.ndarray, " n"]
) -> BadDataError | None:
    """Of a table that has a common image in several rows, what is to be said."""
    rows = np.flatnonzero(common)
    double = rows[doubled(keys[rows])]
    if not len(double):
        return None
    same = np.flatnonzero(keys == keys[double[0]])
    images = len(np.unique(keys[double]))
    return BadDataError(
        f"an image is listed twice: {stack.uids[same[0]]} stands in"
        f" {rows_in_words(stack.rows[same])} ({images} such images in {len(double)} rows)",
        file=stack.source,
        row=int(stack.rows[same[1]]) + 1,
        column="rlnImageName",
        fix="give each particle once, or tables that name the same paths of stacks: which row of"
        " an image (symmetry expansion?) is meant cannot be told",
    )


def _contradiction(
    ours: ParticleStack, theirs: ParticleStack, left: np.ndarray, right: np.ndarray
) -> BadDataError | None:
    """Of images of one name that were made from different ones, what is to be said."""
    if ours.original_names is None or theirs.original_names is None:
        return None
    names = [
        _Names.of(chosen(stack.original_names, rows))  # type: ignore[arg-type]
        for stack, rows in ((ours, left), (theirs, right))
    ]
    key = _named(names[0], names[1], _end_of(1), False)
    other = np.flatnonzero(key.ours != key.theirs)
    if not len(other):
        return None
    mine, its = left[other[0]], right[other[0]]
    return BadDataError(
        f"image {ours.uids[mine]} was made from {ours.original_names[mine]}, and in"
        f" {theirs.source} from {theirs.original_names[its]}: another image of the same name"
        f" ({len(other)} such)",
        file=ours.source,
        row=int(ours.rows[mine]) + 1,
        column="rlnImageOriginalName",
        fix="give two tables of the same particles",
    )
