"""A folder of sound inputs for every command, and the ways in which a test spoils it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

from cryospin.cli.convert import convert
from cryospin.io.cryosparc_table import read_cs, with_columns, write_cs
from cryospin.io.mrc import StackWriter, write_map
from cryospin.io.relion import write_new_particles
from cryospin.io.star import StarBlock, StarFile, read_star
from cryospin.io.star_writer import write_star
from cryospin.optics import CtfParameters, Optics
from cryospin.simulate.molecule import chain_molecule
from cryospin.types import DensityMap, Poses
from phantoms import random_turns

COUNT, BOX, PIXEL = 120, 16, 6.0
ATOM = "ATOM      1  CA  ALA A   1       0.000   0.000   0.000  1.00  0.00           C  \n"

Spoil = Callable[[Path, pytest.MonkeyPatch], None]
"""What is done to the folder before the command runs."""


def write_inputs(folder: Path) -> None:
    """Particles as each program's table, a model, maps, and what a finished run leaves."""
    images = np.random.default_rng(0).normal(size=(COUNT, BOX, BOX))
    with StackWriter(folder / "particles.mrcs", BOX, PIXEL, COUNT) as stack:
        stack.append(images)
    ones = torch.ones(COUNT, dtype=torch.float64)
    ctf = CtfParameters(
        1e4 * ones, 1e4 * ones, 0 * ones, 0 * ones, 300 * ones, 2.7 * ones, 0.1 * ones
    )
    names = [f"{number:06d}@particles.mrcs" for number in range(1, COUNT + 1)]
    table = names, (Optics("one", PIXEL, 300.0, 2.7, 0.1),), BOX, np.zeros(COUNT, int), ctf
    write_new_particles(folder / "particles.star", *table)
    poses = Poses(random_turns(COUNT, 1), torch.zeros(COUNT, 2).double(), ones)
    half_set = np.arange(COUNT) % 2 + 1
    write_new_particles(folder / "truth.star", *table, poses, half_set=half_set)
    convert(folder / "truth.star", folder / "particles.cs")
    convert(folder / "truth.star", folder / "particles.txt")
    (folder / "model.pdb").write_text(ATOM + "END\n")
    (folder / "text.txt").write_text("nothing of the kind\n")
    write_maps(folder)
    write_run(folder / "run", folder)


def write_maps(folder: Path) -> None:
    molecule = chain_molecule(1, domains=2, residues_per_domain=30)
    values = torch.as_tensor(molecule.voxelize(BOX, PIXEL)).float()
    generator = torch.Generator().manual_seed(0)
    for name in ("map", "half1", "half2", "truth"):
        noise = 0.1 * values.std() * torch.randn(values.shape, generator=generator)
        write_map(folder / f"{name}.mrc", DensityMap(values + noise, PIXEL))
    write_map(folder / "mask.mrc", DensityMap((values > 0.1 * values.max()).float(), PIXEL))
    write_map(folder / "small.mrc", DensityMap(values[4:12, 4:12, 4:12].clone(), PIXEL))
    write_map(folder / "coarse.mrc", DensityMap(values, 2 * PIXEL))
    write_map(folder / "odd.mrc", DensityMap(values[1:, 1:, 1:].clone(), PIXEL))
    mrcfile.write(folder / "slab.mrc", values[4:12].numpy(), voxel_size=PIXEL)
    write_map(folder / "empty.mrc", DensityMap(0 * values, PIXEL))
    write_map(folder / "nan.mrc", DensityMap(values / 0 * 0, PIXEL))
    write_map(folder / "no_voxel.mrc", DensityMap(values, 0.0))
    (folder / "cut.mrc").write_bytes((folder / "map.mrc").read_bytes()[:2000])


def write_run(run: Path, data: Path) -> None:
    run.mkdir()
    for name in ("map", "half1", "half2", "mask"):
        shutil.copy(data / f"{name}.mrc", run)
    text = (data / "truth.star").read_text()
    (run / "particles.star").write_text(text.replace("@particles.mrcs", "@../particles.mrcs"))
    settings = {"particles": "particles.star", "max_shift_angstrom": 9.0}
    told = {"verdict": "converged", "symmetry": "C1", "settings": settings}
    (run / "result.json").write_text(json.dumps(told))


def fingerprints(folder: Path) -> dict[str, str]:
    """Every file and folder below, and what is in it."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        )
        for path in sorted(folder.rglob("*"))
    }


def nothing(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """The command itself is wrong."""


def full_disk(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """What the operating system says then: no space left when asked, nor when writing."""
    usage = shutil.disk_usage(folder)._replace(free=0)
    patch.setattr(shutil, "disk_usage", lambda path: usage)

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    patch.setattr(os, "fsync", refuse)


def gone(name: str) -> Spoil:
    def spoil(folder: Path, patch: pytest.MonkeyPatch) -> None:
        (folder / name).unlink()

    return spoil


def holds(name: str, content: str | bytes) -> Spoil:
    """The file has this in it and nothing else."""

    def spoil(folder: Path, patch: pytest.MonkeyPatch) -> None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return spoil


def cut(name: str, share: float = 0.5) -> Spoil:
    """The file ends too early."""

    def spoil(folder: Path, patch: pytest.MonkeyPatch) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])

    return spoil


def replaced(name: str, old: str, new: str) -> Spoil:
    def spoil(folder: Path, patch: pytest.MonkeyPatch) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return spoil


def table_with(name: str, change: Callable[[dict[str, list[str]]], object]) -> Spoil:
    """A STAR file whose particles' columns, (label -> tokens), went through `change`."""

    def spoil(folder: Path, patch: pytest.MonkeyPatch) -> None:
        blocks = dict(read_star(folder / name).blocks)
        columns = {label: list(tokens) for label, tokens in blocks["particles"].columns.items()}
        change(columns)
        blocks["particles"] = StarBlock(columns=columns)
        write_star(folder / name, StarFile(blocks))

    return spoil


def value(label: str, row: int, token: str, name: str = "particles.star") -> Spoil:
    """One value of a table; `row` from 1."""
    return table_with(name, lambda columns: columns[label].__setitem__(row - 1, token))


def without(label: str, name: str = "particles.star") -> Spoil:
    return table_with(name, lambda columns: columns.pop(label))


def without_optics(label: str) -> Spoil:
    """The table of optics lacks a column."""

    def spoil(folder: Path, patch: pytest.MonkeyPatch) -> None:
        blocks = dict(read_star(folder / "particles.star").blocks)
        columns = {k: v for k, v in blocks["optics"].columns.items() if k != label}
        blocks["optics"] = StarBlock(columns=columns)
        write_star(folder / "particles.star", StarFile(blocks))

    return spoil


def only(rows: int, name: str = "particles.star") -> Spoil:
    """The first few rows of the table."""

    def change(columns: dict[str, list[str]]) -> None:
        for tokens in columns.values():
            del tokens[rows:]

    return table_with(name, change)


def images(count: int, pixel: float) -> Spoil:
    """The first images have this in every pixel."""

    def spoil(folder: Path, patch: pytest.MonkeyPatch) -> None:
        with open(folder / "particles.mrcs", "r+b") as file:
            file.seek(1024)
            file.write(np.full((count, BOX, BOX), pixel, dtype="<f4").tobytes())

    return spoil


def stack_of_box(box: int) -> Spoil:
    """Table and stack of another box."""

    def spoil(folder: Path, patch: pytest.MonkeyPatch) -> None:
        with StackWriter(folder / "particles.mrcs", box, PIXEL, COUNT) as stack:
            stack.append(np.random.default_rng(0).normal(size=(COUNT, box, box)))
        text = (folder / "particles.star").read_text()
        (folder / "particles.star").write_text(text.replace(f" {BOX} ", f" {box} "))

    return spoil


def stack_of_images(box: int) -> Spoil:
    """The stack is of another box than the table says."""

    def spoil(folder: Path, patch: pytest.MonkeyPatch) -> None:
        with StackWriter(folder / "particles.mrcs", box, PIXEL, COUNT) as stack:
            stack.append(np.zeros((COUNT, box, box)))

    return spoil


class RunsCode:
    """Pickled, it makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("hacked",)


def pickle_with_code(folder: Path, patch: pytest.MonkeyPatch) -> None:
    (folder / "particles.poses.pkl").write_bytes(pickle.dumps(RunsCode()))


def cs_without(group: str) -> Spoil:
    """A cryoSPARC table without the columns of a group."""

    def spoil(folder: Path, patch: pytest.MonkeyPatch) -> None:
        table = read_cs(folder / "particles.cs")
        kept = {n: table[n] for n in table.dtype.names or () if not n.startswith(group)}
        write_cs(folder / "particles.cs", with_columns(np.empty(len(table), dtype=[]), kept))

    return spoil
