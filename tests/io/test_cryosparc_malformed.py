"""Malformed `.cs` files: our errors only, no hang, no memory beyond the file's size."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryospin.errors import BadDataError
from cryospin.io.cryosparc import read_cryosparc
from damage import damaged, read_damaged

GROUPS = (
    ("uid", "<u8", ()),
    ("blob/path", "S8", ()),
    ("blob/idx", "<u4", ()),
    ("blob/shape", "<u4", (2,)),
    ("blob/psize_A", "<f4", ()),
    ("blob/sign", "<f4", ()),
    *((f"ctf/{name}", "<f4", ()) for name in ("accel_kv", "cs_mm", "amp_contrast")),
    *((f"ctf/{name}", "<f4", ()) for name in ("df1_A", "df2_A", "df_angle_rad")),
    ("alignments3D_multi/pose", "<f4", (2, 3)),
    ("alignments3D_multi/shift", "<f4", (2, 2)),
    ("alignments3D_multi/class_posterior", "<f4", (2,)),
)


def sound() -> bytes:
    rows = np.zeros(3, dtype=[(name, kind, shape) for name, kind, shape in GROUPS])
    rows["uid"], rows["blob/idx"] = [7, 8, 9], [0, 1, 2]
    rows["blob/path"], rows["blob/sign"] = b"a.mrcs", -1
    for name in ("blob/shape", "blob/psize_A", "ctf/accel_kv"):
        rows[name] = 8
    header = repr({"descr": rows.dtype.descr, "fortran_order": False, "shape": rows.shape})
    return with_header(header.encode(), rows.tobytes())


def with_header(header: bytes, rows: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + rows


SOUND = sound()
HEADER = SOUND.index(b"\n") + 1


def test_the_sound_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.cs").write_bytes(SOUND)
    assert len(read_cryosparc(tmp_path / "x.cs")) == 3


def test_lengths_of_python_2(tmp_path: Path) -> None:
    (tmp_path / "x.cs").write_bytes(SOUND.replace(b"(3,)}", b"(3L,}"))
    with pytest.raises(BadDataError):
        read_cryosparc(tmp_path / "x.cs")
    header = SOUND[10 : HEADER - 1].replace(b"(3,)", b"(3L,)")
    (tmp_path / "x.cs").write_bytes(with_header(header, SOUND[HEADER:]))
    assert len(read_cryosparc(tmp_path / "x.cs")) == 3


@settings(derandomize=True, deadline=None, max_examples=300)
@given(content=damaged(SOUND, HEADER))
def test_damage(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    read_damaged(folder / "damaged.cs", content, read_cryosparc)


@pytest.mark.long
@settings(deadline=None, max_examples=30_000, suppress_health_check=list(HealthCheck))
@given(content=damaged(SOUND, HEADER))
def test_much_damage(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    read_damaged(folder / "much.cs", content, read_cryosparc)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(header=st.binary(max_size=80) | st.text("()[]{},'\"0123456789-<f:x#\\\n ").map(str.encode))
def test_any_header(tmp_path_factory: pytest.TempPathFactory, header: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    read_damaged(folder / "header.cs", with_header(header, bytes(200)), read_cryosparc)


@pytest.mark.parametrize(
    "header",
    [
        b"(" * 60_000,
        b"-" * 60_000 + b"1",
        b"{'descr': " + b"[" * 30_000,
        b"{'descr': [('uid', '<u8', (2147483647,))], 'fortran_order': False, 'shape': (3,)}",
        b"{'descr': [('uid', '<u8')], 'fortran_order': False, 'shape': (9223372036854775807,)}",
        b"{'descr': [('uid', '<u8')], 'fortran_order': False, 'shape': (4611686018427387904, 4)}",
        b"{'descr': [('uid', '<u8')], 'fortran_order': False, 'shape': (-1,)}",
        b"{'descr': [('uid', 'S0')], 'fortran_order': False, 'shape': (1000000000,)}",
        b"{'descr': [], 'fortran_order': False, 'shape': (1000000000,)}",
        b"{'descr': [('uid', '<u8')], 'fortran_order': True, 'shape': ()}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",
        b"{'descr': [('uid', '<u8'), ('uid', '<u8')], 'fortran_order': False, 'shape': (3,)}",
        b"{'descr': [(('t', 'uid'), '<u8')], 'fortran_order': False, 'shape': (3,)}",
        b"{'descr': [('uid', [('a', '<u8')])], 'fortran_order': False, 'shape': (3,)}",
        b"{'descr': [('uid', '<M8[s]')], 'fortran_order': False, 'shape': (3,)}",
    ],
    ids=lambda header: header[:40].decode(),
)
def test_headers_that_lie(tmp_path: Path, header: bytes) -> None:
    read_damaged(tmp_path / "x.cs", with_header(header, bytes(200)), read_cryosparc)
    with pytest.raises(BadDataError):
        read_cryosparc(tmp_path / "x.cs")
