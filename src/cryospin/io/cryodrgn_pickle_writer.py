"""Arrays into pickled files, as cryoDRGN reads them: the few instructions that takes."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cryospin.io.atomic import atomic_path


def write_arrays(path: Path | str, *arrays: np.ndarray) -> None:
    """One array, or a tuple of two or three, as any Python 3 with numpy unpickles it.

    Raises
    ------
    ResourceError: the disk does not take it.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as output:
        output.write(b"\x80\x03")
        for array in arrays:
            _write_array(output, array)
        output.write({1: b"", 2: b"\x86", 3: b"\x87"}[len(arrays)] + b".")


def _write_array(output: BinaryIO, array: np.ndarray) -> None:
    values = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    assert values.nbytes < 2**32, "a hundred million particles"

    def integer(number: int) -> bytes:
        return b"J" + struct.pack("<i", number)

    def text(string: str) -> bytes:
        return b"X" + struct.pack("<I", len(string)) + string.encode("ascii")

    # numpy 1 and 2 both know numpy.core's name here; numpy._core is new in 2
    output.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n")
    output.write(integer(0) + b"\x85" + b"C\x01b" + b"\x87R(" + integer(1))
    output.write(b"(" + b"".join(map(integer, values.shape)) + b"t")
    output.write(b"cnumpy\ndtype\n" + text(values.dtype.str[1:]) + b"\x89\x88\x87R")
    output.write(b"(" + integer(3) + text("<") + b"NNN" + integer(-1) * 2 + integer(0) + b"tb")
    output.write(b"\x89B" + struct.pack("<I", values.nbytes))
    output.write(values.data)
    output.write(b"tb")
