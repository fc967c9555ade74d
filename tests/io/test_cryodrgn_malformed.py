"""Malformed .pkl and .txt files: our errors only, no hang, no memory beyond the file's size."""

from __future__ import annotations

import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryospin.io.cryodrgn import read_cryodrgn
from cryospin.io.cryodrgn_pickle import read_arrays
from cryospin.io.cryodrgn_pickle_writer import write_arrays
from cryospin.io.mrc import StackWriter
from damage import damaged, read_damaged

ARRAYS = (np.tile(np.eye(3, dtype=np.float32), (4, 1, 1)), np.zeros((4, 2)))
SOUND = {protocol: pickle.dumps(ARRAYS, protocol=protocol) for protocol in (0, 2, 4, 5)}
any_sound = st.sampled_from(sorted(SOUND)).flatmap(lambda p: damaged(SOUND[p], 200))


@settings(derandomize=True, deadline=None, max_examples=400)
@given(content=any_sound)
def test_damage(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    read_damaged(tmp_path_factory.getbasetemp() / "damaged.pkl", content, read_arrays)


@pytest.mark.long
@settings(deadline=None, max_examples=60_000, suppress_health_check=list(HealthCheck))
@given(content=any_sound)
def test_much_damage(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    read_damaged(tmp_path_factory.getbasetemp() / "much.pkl", content, read_arrays)


codes = st.sampled_from([code.code.encode("latin1") for code in pickletools.opcodes])


@settings(derandomize=True, deadline=None, max_examples=300)
@given(parts=st.lists(codes | st.binary(max_size=3) | st.just(b"cnumpy\ndtype\n"), max_size=30))
def test_any_program(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    content = b"".join(parts) + b"."
    read_damaged(tmp_path_factory.getbasetemp() / "program.pkl", content, read_arrays)


@pytest.mark.parametrize(
    "content",
    [
        b"]" * 1_000_000 + b".",
        b"(" * 1_000_000 + b".",
        b"\x8e" + b"\xff" * 7 + b"\x7f" + b"x",
        b"\x8b\xff\xff\xff\x7f" + bytes(9),
        b"]" + b"]\x94a" * 3000 + b".",
        b"L" + b"9" * 100_000 + b"L\n.",
        b"",
        b".",
    ],
    ids=["lists", "marks", "bytes", "long", "nested", "digits", "empty", "stop"],
)
def test_bombs(tmp_path: Path, content: bytes) -> None:
    read_damaged(tmp_path / "x.pkl", content, read_arrays)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(content=damaged(b"a.mrcs\n./a.mrcs\r\n", 20) | st.binary(max_size=60))
def test_damaged_lists(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "lists"
    if not folder.exists():
        folder.mkdir()
        with StackWriter(folder / "a.mrcs", 4, 1.0, 2) as writer:
            writer.append(np.zeros((2, 4, 4)))
        ctf = np.tile([4, 1, 1e4, 1e4, 0, 300, 2.7, 0.1, 0], (4, 1)).astype("f4")
        write_arrays(folder / "ctf.pkl", ctf)
    read_damaged(folder / "x.txt", content, read_cryodrgn)
