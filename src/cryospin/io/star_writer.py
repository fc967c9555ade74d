"""STAR files written as RELION reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cryospin.io.atomic import atomic_path
from cryospin.io.star import Columns, StarFile
from cryospin.io.tokens import Tokens

_PIECE_ROWS = 1 << 12  # that are written in one


def write_star(path: Path | str, star: StarFile) -> None:
    """Write whole or not at all. RELION 3.1+ is recognised by its optics block."""
    with atomic_path(path) as temporary, open(temporary, "wb") as output:
        for name, block in star.blocks.items():
            # without this line relion 3.1 takes the file for 3.0 and converts origins
            head = ["\n# version 30001\n" if "optics" in star.blocks else "", f"\ndata_{name}\n\n"]
            head += [f"_{key} {value}\n" for key, value in block.pairs.items()]
            if block.columns:
                head += ["loop_\n", *(f"_{key} #{i}\n" for i, key in enumerate(block.columns, 1))]
            output.write("".join(head).encode())
            output.writelines(_rows(block.columns))
            output.write(b"\n")


def _rows(columns: Columns) -> Iterator[bytes]:
    """The lines of a table, some at a time."""
    arrays = [Tokens.of(texts).array for texts in columns.values()]
    count = len(arrays[0]) if arrays else 0
    if any(len(array) != count for array in arrays):
        raise ValueError(f"columns of different lengths: {[len(array) for array in arrays]}")
    if count and arrays[0][0].startswith(b"_"):
        # RELION takes a first row that begins with `_` for a name
        arrays[0] = arrays[0].astype(f"S{arrays[0].itemsize + 2}")
        arrays[0][0] = b'"' + arrays[0][0] + b'"'
    for start in range(0, count, _PIECE_ROWS):
        pieces = []
        for array in arrays:
            piece = np.ascontiguousarray(array[start : start + _PIECE_ROWS])
            pieces += [piece.view(np.uint8).reshape(len(piece), -1), _column_of(b" ", len(piece))]
        pieces[-1] = _column_of(b"\n", len(pieces[-1]))
        text = np.concatenate(pieces, axis=1)
        # texts are filled up with zero bytes, and hold none
        yield text[text != 0].tobytes()


def _column_of(byte: bytes, count: int) -> np.ndarray:
    return np.full((count, 1), ord(byte), dtype=np.uint8)
