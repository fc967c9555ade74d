"""Small cryoSPARC tables, made column by column, and what it means for two to be the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cryospin.io.cryosparc_table import with_columns, write_cs

PATH = "J3/extract/a.mrc"


def blobs(n: int, path: str = PATH, sign: float = -1.0) -> dict[str, np.ndarray]:
    return {
        "uid": np.arange(n, dtype="<u8") * 10**17 + 5,
        "blob/path": np.full(n, path.encode()),
        "blob/idx": np.arange(n, dtype="<u4")[::-1],
        "blob/shape": np.full((n, 2), 8, dtype="<u4"),
        "blob/psize_A": np.full(n, 1.3, dtype="<f4"),
        "blob/sign": np.full(n, sign, dtype="<f4"),
    }


def ctfs(n: int) -> dict[str, np.ndarray]:
    values = {
        "accel_kv": 300.0,
        "cs_mm": 2.7,
        "amp_contrast": 0.1,
        "df1_A": 15000.0,
        "df2_A": 14000.0,
        "df_angle_rad": -np.pi / 3,
        "phase_shift_rad": np.pi / 2,
    }
    return {f"ctf/{name}": np.full(n, value, dtype="<f4") for name, value in values.items()}


def alignments(n: int, group: str = "alignments3D") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(n)
    return {
        f"{group}/split": np.arange(n, dtype="<u4") % 2,
        f"{group}/shift": rng.normal(size=(n, 2)).astype("<f4"),
        # longer than pi, as cryoSPARC's sometimes are
        f"{group}/pose": (rng.normal(size=(n, 3)) * 2).astype("<f4"),
        f"{group}/psize_A": np.full(n, 2.6, dtype="<f4"),
    }


def table(path: Path, columns: dict[str, np.ndarray]) -> Path:
    n = len(next(iter(columns.values())))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_cs(path, with_columns(np.empty(n, dtype=[]), columns))
    return path


def full(n: int = 4) -> dict[str, np.ndarray]:
    return blobs(n) | ctfs(n) | alignments(n)


def same_columns(a: np.ndarray, b: np.ndarray, but: tuple[str, ...] = ()) -> bool:
    """Bit for bit, in order, except the columns `but` of either."""
    names = [[name for name in x.dtype.names or () if name not in but] for x in (a, b)]
    return names[0] == names[1] and all(
        a.dtype[name] == b.dtype[name] and a[name].tobytes() == b[name].tobytes()
        for name in names[0]
    )
