"""cryoDRGN's inputs written: a list of stacks, with CTFs, poses and an index pickled beside."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from cryospin.errors import BadDataError
from cryospin.io.atomic import atomic_path
from cryospin.io.conventions import shifts_to_cryodrgn
from cryospin.io.cryodrgn import CryodrgnTable
from cryospin.io.cryodrgn_pickle_writer import write_arrays
from cryospin.io.image_files import same_image
from cryospin.io.mrc_header import read_header
from cryospin.io.outputs import Outputs, begin_outputs
from cryospin.io.rows import doubled, rows_in_words
from cryospin.types import ParticleStack, Poses


def write_cryodrgn(path: Path | str, stack: ParticleStack, poses: Poses | None) -> list[Path]:
    """`particles.txt`, and beside it `particles.ctf.pkl` and, with poses, `particles.poses.pkl`.

    A list of stacks means all their images in order. Where the particles are fewer,
    `particles.ind.pkl` tells which they are (cryoDRGN's --ind), and the rows of the others
    hold no pose and the first particle's CTF.

    Returns
    -------
    the files written.

    Raises
    ------
    BadDataError: a stack that is missing (its length is needed), an image listed twice.
    UsageError: arrays of that name are there that cryospin did not write: they would be taken
        for these particles'.
    ResourceError: the disk does not take them.
    """
    path = Path(path)
    used = np.unique(stack.file_index)
    place, total = _places(stack, used)
    written, folder = arrays_beside(path), path.absolute().parent
    begin_outputs(path.parent, Outputs(tuple(file.name for file in written.values())))
    # a file of an earlier conversion would be taken for one of this
    for file in written.values():
        file.unlink(missing_ok=True)
    names = [os.path.relpath(stack.files[number].absolute(), folder) for number in used]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    rows = _ctf_rows(stack)
    ctf = np.repeat(rows[:1], total, axis=0)
    ctf[place] = rows
    write_arrays(written["ctf"], ctf)
    if poses is not None:
        rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (total, 3, 3)).copy()
        translations = np.zeros((total, 2), dtype=np.float32)
        rotations[place] = poses.rotations.numpy()
        width = stack.box * stack.pixel_size_angstrom
        translations[place] = shifts_to_cryodrgn(poses.shifts_angstrom, width).numpy()
        write_arrays(written["poses"], rotations, translations)
    if len(stack) < total:
        write_arrays(written["ind"], np.sort(place))
    return [path, *(file for file in written.values() if file.exists())]


def arrays_beside(path: Path) -> dict[str, Path]:
    """The files of arrays by kind: ctf, poses, ind."""
    return {kind: path.with_name(f"{path.stem}.{kind}.pkl") for kind in ("ctf", "poses", "ind")}


def _places(stack: ParticleStack, used: np.ndarray) -> tuple[np.ndarray, int]:
    """Each particle's place (n,) among all images of the files `used`, and how many they are."""
    counts = np.array([read_header(stack.files[number]).shape[0] for number in used])
    starts = np.concatenate([[0], np.cumsum(counts)])
    file = np.searchsorted(used, stack.file_index)
    place = starts[file] + stack.slice_index
    beyond = np.flatnonzero(stack.slice_index >= counts[file])
    if len(beyond):
        problem = f"image {stack.uids[beyond[0]]} is beyond the end of its stack"
        fix = "give the stacks that belong to the table"
        raise _refusal(stack, f"{problem} ({len(beyond)} such images)", beyond, fix)
    double = np.flatnonzero(doubled(same_image(stack)))
    if len(double):
        same = np.flatnonzero(same_image(stack) == same_image(stack)[double[0]])
        problem = f"image {stack.uids[same[0]]} stands in {rows_in_words(stack.rows[same])}"
        problem += f", and cryoDRGN's files have one row an image ({len(double)} such rows)"
        raise _refusal(stack, problem, same[1:], "keep one row of each image")
    return place, int(starts[-1])


def _refusal(stack: ParticleStack, problem: str, rows: np.ndarray, fix: str) -> BadDataError:
    return BadDataError(problem, file=stack.source, row=int(stack.rows[rows[0]]) + 1, fix=fix)


def _ctf_rows(stack: ParticleStack) -> np.ndarray:
    """(n, 9); the very rows of the file where the particles came from cryoDRGN."""
    if isinstance(stack.table, CryodrgnTable):
        return stack.table.ctf[stack.rows]
    ctf, n = stack.ctf, len(stack)
    size = torch.full((n,), float(stack.box)), torch.full((n,), stack.pixel_size_angstrom)
    defocus = ctf.defocus_u_angstrom, ctf.defocus_v_angstrom, ctf.defocus_angle_degrees
    optics = ctf.voltage_kv, ctf.spherical_aberration_mm, ctf.amplitude_contrast
    return torch.stack([*size, *defocus, *optics, ctf.phase_shift_degrees], 1).numpy().astype("f4")
