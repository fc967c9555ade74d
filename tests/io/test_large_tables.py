"""What a row of a large table may cost: 10^6 of them must be read in seconds and in little memory.

Memory is counted, not looked up, and time is the processor's, beside that of splitting the same
text: both hold on a busy machine.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch

import cryospin
from cryospin.io.formats import read_particles_of_any_kind
from cryospin.io.pairing import pair_particles
from cryospin.io.star import StarBlock, StarFile, read_star
from cryospin.io.star_writer import write_star
from cryospin.io.table_writer import write_table
from cryospin.io.tokens import Tokens
from cryospin.types import ParticleStack

COUNT, PER_STACK = 60_000, 5_000
NUMBERS = (
    *("rlnCoordinateX", "rlnCoordinateY", "rlnAnglePsi", "rlnAngleRot", "rlnAngleTilt"),
    *("rlnOriginXAngst", "rlnOriginYAngst", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"),
    *("rlnCtfBfactor", "rlnCtfScalefactor", "rlnPhaseShift", "rlnNormCorrection", "rlnMadeUp"),
)
OPTICS = {
    "rlnOpticsGroup": ["1", "2"],
    "rlnVoltage": ["300.0", "200.0"],
    "rlnSphericalAberration": ["2.7"] * 2,
    "rlnAmplitudeContrast": ["0.1"] * 2,
    "rlnImagePixelSize": ["1.77"] * 2,
    "rlnImageSize": ["128"] * 2,
}


def particles() -> dict[str, Tokens]:
    rng = np.random.default_rng(0)
    stack, number = np.divmod(np.arange(COUNT), PER_STACK)
    written = np.char.mod("%.6f", rng.uniform(1e4, 2e4, size=4096))
    names = [
        f"{i + 1:06d}@Extract/job012/mic_{k:05d}.mrcs" for k, i in zip(stack, number, strict=True)
    ]
    micrographs = np.char.mod("MotionCorr/job002/mic_%05d.mrc", np.arange(stack[-1] + 1))
    columns = {
        "rlnImageName": Tokens.of(names),
        "rlnMicrographName": Tokens(micrographs.astype(np.bytes_)[stack]),
        "rlnOpticsGroup": Tokens((stack % 2 + 1).astype(np.bytes_)),
    }
    for name in NUMBERS:
        tokens = written[rng.integers(len(written), size=COUNT)]
        neutral = {"rlnCtfBfactor": "0.0", "rlnCtfScalefactor": "1.0", "rlnPhaseShift": "0.0"}
        columns[name] = (
            Tokens.repeated(neutral[name], COUNT)
            if name in neutral
            else Tokens(tokens.astype(np.bytes_))
        )
    return columns


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "p.star"
    blocks = {"optics": StarBlock({}, OPTICS), "particles": StarBlock({}, particles())}
    write_star(path, StarFile(blocks))
    return path


@pytest.fixture(scope="module")
def stack(table: Path) -> ParticleStack:
    return read_particles_of_any_kind(table)


def test_every_token_comes_back(table: Path, tmp_path: Path) -> None:
    assert read_star(table).blocks["particles"].columns == particles()
    write_star(tmp_path / "again.star", read_star(table))
    assert (tmp_path / "again.star").read_bytes() == table.read_bytes()


def test_what_is_read(stack: ParticleStack) -> None:
    assert stack.uids[-1] == f"{PER_STACK:06d}@Extract/job012/mic_{COUNT // PER_STACK - 1:05d}.mrcs"
    assert len(stack.files) == COUNT // PER_STACK and len(stack.optics) == 2
    defocus = [float(token) for token in particles()["rlnDefocusU"]]
    assert torch.equal(stack.ctf.defocus_u_angstrom, torch.tensor(defocus))


def test_memory(table: Path) -> None:
    """At the peak, twice the text: its columns, and of them the numbers. As lists of strings it
    was six times."""
    tracemalloc.start()
    try:
        read_particles_of_any_kind(table)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3.0 * table.stat().st_size


def seconds(work: Callable[[], object]) -> float:
    """Of the processor, the least of three."""
    found = []
    for _ in range(3):
        before = time.process_time()
        work()
        found.append(time.process_time() - before)
    return min(found)


def test_time(table: Path) -> None:
    """Beside splitting the text into a list, which is the least that Python can do with it."""
    split = seconds(lambda: table.read_bytes().split())
    assert seconds(lambda: read_star(table)) < 8.0 * split
    assert seconds(lambda: read_particles_of_any_kind(table)) < 16.0 * split


def calls_of(work: Callable[[], object]) -> int:
    """How many functions the package's own lines called, of the package and of C."""
    calls, package = 0, str(Path(cryospin.__file__).parent)

    def count(frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += frame.f_code.co_filename.startswith(package)

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def test_no_row_is_looked_at_alone(table: Path, stack: ParticleStack, tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(COUNT)
    shuffled = stack.select(order)
    half_set = order % 2 + 1
    for name, work in {
        "read": lambda: read_particles_of_any_kind(table),
        "select": lambda: stack.select(order),
        "pair": lambda: pair_particles(stack, shuffled),
        "write": lambda: write_table(tmp_path / "w.star", stack, "relion-3.1", None, half_set),
    }.items():
        assert calls_of(work) < COUNT / 6, name
