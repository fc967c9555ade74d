"""Particles written as a table of any program.

A table keeps its own columns only in its own format: `formats.with_columns_of`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cryospin.io.cryodrgn_writer import arrays_beside, write_cryodrgn
from cryospin.io.cryosparc import CryosparcTable
from cryospin.io.cryosparc_writer import write_cryosparc, write_new_cryosparc
from cryospin.io.distortion import poses_in_images
from cryospin.io.formats import (
    CRYODRGN,
    CRYOSPARC,
    RELION_30,
    RELION_31,
    format_of,
    poses_for_others,
)
from cryospin.io.image_files import changed_names, names_for
from cryospin.io.relion import RelionTable, image_name, new_particles, particles_with
from cryospin.io.relion_columns import RelionColumns
from cryospin.io.relion_dialects import in_relion_30, in_relion_31
from cryospin.io.star import StarFile, quoted
from cryospin.io.star_writer import write_star
from cryospin.types import Classes, ParticleStack, Poses


def files_of(out: Path, kind: str) -> list[Path]:
    """The files that `write_table` writes, or removes where they are of an earlier table."""
    return [out, *(arrays_beside(out).values() if kind == CRYODRGN else ())]


def write_table(
    out: Path,
    stack: ParticleStack,
    kind: str,
    poses: Poses | None = None,
    half_set: np.ndarray | None = None,
    classes: Classes | None = None,
) -> None:
    """Write the particles as a table of format `kind`.

    Parameters
    ----------
    poses, half_set, classes: set in the table; None leaves what the stack came with.

    Raises
    ------
    BadDataError: cryoDRGN's list of stacks that are not there; a pose that is no number, for
        another program.
    UsageError: arrays of that name beside cryoDRGN's list that cryospin did not write.
    ResourceError: the disk does not take it.
    """
    own = format_of(stack).split("-")[0] == kind.split("-")[0]
    known_poses = stack.poses if poses is None else poses
    if poses is None and (not own or kind == CRYODRGN):
        known_poses = poses_for_others(stack)
    known_half_set = stack.half_set if half_set is None else half_set
    known_classes = stack.classes if classes is None else classes
    if kind == CRYODRGN:
        if known_poses is not None:
            known_poses = poses_in_images(known_poses, stack.optics, stack.optics_group)
        write_cryodrgn(out, stack, known_poses)
    elif kind == CRYOSPARC and isinstance(stack.table, CryosparcTable):
        write_cryosparc(out, stack, poses, half_set, changed_names(stack, out), classes)
    elif kind == CRYOSPARC:
        names = names_for(stack, out)
        write_new_cryosparc(out, stack, names, known_poses, known_half_set, known_classes)
    elif isinstance(stack.table, RelionTable):
        star = particles_with(stack, poses, half_set, classes)
        moved = changed_names(stack, out)
        if moved:
            columns = star.blocks[stack.table.name].columns
            images = [*columns["rlnImageName"]]
            for row, name in moved.items():
                images[row] = quoted(image_name(int(stack.slice_index[row]), name))
            columns["rlnImageName"] = images
        write_star(out, _in_dialect(star, stack.table.name, kind, out, stack.box))
    else:
        star = _new_star(out, stack, known_poses, known_half_set, known_classes)
        write_star(out, _in_dialect(star, "particles", kind, out, stack.box))


def _in_dialect(star: StarFile, name: str, kind: str, path: Path, box: int) -> StarFile:
    optics = star.blocks.get("optics")
    columns = RelionColumns(path, star.blocks[name], optics)
    if kind == RELION_30 and optics is not None:
        return in_relion_30(star, name, columns, box)
    if kind == RELION_31 and optics is None:
        return in_relion_31(star, name, columns, box)
    return star


def _new_star(
    out: Path,
    stack: ParticleStack,
    poses: Poses | None,
    half_set: np.ndarray | None,
    classes: Classes | None,
) -> StarFile:
    names = zip(stack.slice_index.tolist(), names_for(stack, out), strict=True)
    micrographs = stack.micrographs
    return new_particles(
        [image_name(number, name) for number, name in names],
        stack.optics,
        stack.box,
        stack.optics_group,
        stack.ctf,
        poses,
        None if micrographs is None else [str(name) for name in micrographs],
        stack.coordinates_pixel,
        half_set,
        None if stack.original_names is None else [*stack.original_names],
        stack.tubes,
        classes,
    )


def write_beside(
    folder: Path,
    stack: ParticleStack,
    poses: Poses,
    half_set: np.ndarray,
    classes: Classes | None = None,
) -> None:
    """`particles.star` with a run's poses and classes; of a `.cs`, `particles.cs` too."""
    kind = format_of(stack)
    star = kind if kind in (RELION_30, RELION_31) else RELION_31
    write_table(folder / "particles.star", stack, star, poses, half_set, classes)
    if kind == CRYOSPARC:
        write_table(folder / "particles.cs", stack, CRYOSPARC, poses, half_set, classes)
