"""Small RELION tables made column by column, with a stack of noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cryospin.io.mrc import StackWriter
from cryospin.io.star import StarBlock, StarFile
from cryospin.io.star_writer import write_star

BOX = 32


def relion_table(
    folder: Path,
    pixel_size: float | None,
    optics: dict[str, str | list[str]] | None,
    columns: dict[str, list[str]],
    groups: str | None = None,
) -> Path:
    """A table with a row per token of the columns; a pixel size of None: 3.0's dialect.

    groups: the optics group of each particle, a digit each; columns of `optics` that are lists
    have a value for each group.
    """
    count = len(next(iter(columns.values())))
    with StackWriter(folder / "a.mrcs", BOX, pixel_size or 1.0, count) as writer:
        writer.append(np.random.default_rng(0).normal(size=(count, BOX, BOX)).astype(np.float32))
    particles = {
        "rlnImageName": [f"{i + 1:06d}@a.mrcs" for i in range(count)],
        "rlnDefocusU": ["15000"] * count,
        "rlnDefocusV": ["14000"] * count,
        "rlnDefocusAngle": ["30"] * count,
    }
    common = {
        "rlnVoltage": "300",
        "rlnSphericalAberration": "2.7",
        "rlnAmplitudeContrast": "0.1",
    }
    if pixel_size is None:
        particles |= {name: [value] * count for name, value in common.items()}
        blocks = {"": StarBlock({}, particles | columns)}
    else:
        groups = groups or "1" * count
        numbers = sorted({*groups})
        common |= {"rlnImagePixelSize": f"{pixel_size}", "rlnImageSize": f"{BOX}"}
        table = {"rlnOpticsGroup": numbers}
        for name, value in (common | (optics or {})).items():
            table[name] = [value] * len(numbers) if isinstance(value, str) else value
        particles["rlnOpticsGroup"] = [*groups]
        blocks = {"optics": StarBlock({}, table), "particles": StarBlock({}, particles | columns)}
    write_star(folder / "p.star", StarFile(blocks))
    return folder / "p.star"
