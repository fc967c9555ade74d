"""Damage done to files, for tests that only the package's own errors come of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

from cryospin.errors import CryospinError

# numbers that a length or a shape may be replaced by
LIES = (b"0", b"-1", b"9", b"4294967295", b"9223372036854775807", b"1e9", b"None", b"(", b"'O'")


@st.composite
def damaged(draw: st.DrawFn, sound: bytes, header: int) -> bytes:
    """`sound` with bits flipped, bytes set, pieces cut out, doubled, or replaced by lies.

    Places in the first `header` bytes, where lengths and types stand, come half the time.
    """
    content = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        if not content:
            break
        near = st.integers(0, min(header, len(content)) - 1)
        place = draw(near | st.integers(0, len(content) - 1))
        kind = draw(st.sampled_from(["flip", "set", "cut", "end", "double", "lie"]))
        length = draw(st.integers(1, 12))
        if kind == "flip":
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set":
            value = draw(st.sampled_from([0, 255]) | st.integers(0, 255))
            content[place : place + 1] = bytes([value])
        elif kind == "cut":
            del content[place : place + length]
        elif kind == "end":
            del content[place:]
        elif kind == "double":
            content[place:place] = content[place : place + length]
        else:
            content[place : place + length] = draw(st.sampled_from(LIES))
    return bytes(content)


def read_damaged(path: Path, content: bytes, read: Callable[[Path], object]) -> None:
    """Only errors that name bad data, and no memory beyond what the file's size accounts for."""
    path.write_bytes(content)
    tracemalloc.start()
    try:
        read(path)
    except CryospinError as error:
        assert error.exit_code == 3
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # Python's parser takes some hundred bytes for one of the header; a megabyte to start with
    assert peak < 300 * len(content) + 2**20
