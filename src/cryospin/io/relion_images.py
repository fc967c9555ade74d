"""Names of images as RELION writes them, `000001@stack.mrcs`: files, slices and uids."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from cryospin.errors import BadDataError
from cryospin.io.image_files import numbered_stacks, plain_name
from cryospin.io.rows import in_order_of_appearance
from cryospin.io.tokens import Tokens
from cryospin.names import ImageNames

# RELION's way to say what a file is whose ending does not: stack.mrc:mrcs
_FILE_FORMAT = re.compile(r":mrcs?$", re.IGNORECASE)


@dataclass(frozen=True)
class _Images:
    """sound: is it a name of an image? Then `slice_index` (0-based) of `stacks[stack]`."""

    sound: Bool[np.ndarray, " n"]
    slice_index: Int[np.ndarray, " n"]
    stacks: list[str]
    stack: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, names: Tokens) -> _Images:
        number, at, stack = np.strings.partition(names.array, b"@")
        # RELION 1's dialect: one image per file
        alone = at == b""
        number, stack = np.where(alone, b"1", number), np.where(alone, number, stack)
        first, which = in_order_of_appearance(stack)
        stacks = [_FILE_FORMAT.sub("", name) for name in Tokens(stack[first])]
        # nine digits are an int; more would overflow the index
        sound = np.strings.isdigit(number) & (np.strings.str_len(number) < 10)
        sound &= np.array([*map(bool, stacks)])[which]
        slice_index = np.where(sound, number, b"0").astype(np.int64) - 1
        return cls(sound & (slice_index >= 0), slice_index, stacks, which)


def image_locations(
    names: Tokens, table: Path
) -> tuple[tuple[Path, ...], Int[np.ndarray, " n"], Int[np.ndarray, " n"], ImageNames]:
    """The files, and of each image its file, its slice (0-based) and its uid.

    Raises
    ------
    BadDataError: what is no name of an image.
    """
    images = _Images.of(names)
    broken = np.flatnonzero(~images.sound)
    if len(broken):
        raise BadDataError(
            f"{names[int(broken[0])]!r} is no image name",
            file=table,
            row=int(broken[0]) + 1,
            column="rlnImageName",
            fix="write it as 000001@stack.mrcs; the first image is number 1",
        )
    files, file_index, _ = numbered_stacks(images.stacks, table)
    return files, file_index[images.stack], images.slice_index, _uids(images, names)


def image_uids(names: Tokens) -> ImageNames:
    """The uids of the images; what is no name of an image stays as it is."""
    return _uids(_Images.of(names), names)


def _uids(images: _Images, names: Tokens) -> ImageNames:
    broken = np.flatnonzero(~images.sound)
    stacks = [*map(plain_name, images.stacks), *names[broken]]
    stack, number = images.stack.copy(), images.slice_index + 1
    stack[broken], number[broken] = len(images.stacks) + np.arange(len(broken)), 0
    return ImageNames.of(stacks, stack, number)
