"""RELION particle tables, 3.0 (one table) and 3.1+ (with optics groups), and ours from them.

Reading tells what the columns mean; whether they make sense is for particles.audit.
Writing keeps every token of every column it does not set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from cryospin.errors import BadDataError
from cryospin.io.conventions import rotation_to_euler, shifts_from_relion_origins
from cryospin.io.distortion import poses_from_images, poses_in_images
from cryospin.io.image_files import image_uid, one_pixel_size
from cryospin.io.relion_classes import class_columns, classes_of_rows, is_posterior
from cryospin.io.relion_columns import RelionColumns
from cryospin.io.relion_images import image_locations, image_uids
from cryospin.io.relion_not_modelled import not_modelled
from cryospin.io.relion_optics import optics_block, optics_groups
from cryospin.io.relion_picks import (
    COORDINATES,
    TUBE,
    coordinates_angstrom,
    tube_numbers,
    tubes_of,
)
from cryospin.io.relion_poses import (
    ANGLES,
    CONFIDENCE,
    HALF_SET,
    ORIGINS_ANGSTROM,
    ORIGINS_PIXEL,
    half_sets_of_rows,
    poses_of_rows,
)
from cryospin.io.relion_refusals import refuse
from cryospin.io.star import StarBlock, StarFile, quoted, read_star
from cryospin.io.star_writer import write_star
from cryospin.io.tokens import Tokens
from cryospin.optics import CtfParameters, Optics
from cryospin.types import Classes, ParticleStack, Poses, Unread

ORIGINAL_NAME = "rlnImageOriginalName"


@dataclass(frozen=True)
class RelionTable:
    """A STAR file with one row per particle in the block `name`."""

    path: Path
    star: StarFile
    name: str

    @property
    def particles(self) -> StarBlock:
        return self.star.blocks[self.name]

    @property
    def optics(self) -> StarBlock | None:
        """None in RELION 3.0's dialect, where optics are columns of the particles."""
        return self.star.blocks.get("optics")


def read_particles(path: Path | str) -> ParticleStack:
    """The particles of a STAR file; of stacks only a header is read, and only for the box.

    Stacks that do not exist are no error here (a table alone can be evaluated).

    Raises
    ------
    BadDataError: no image names, missing CTF columns, values that are not numbers (poses,
        half-sets, classes and coordinates excepted, which `unread` tells of), optics groups that
        differ in pixel size or box, images premultiplied by their CTF, x without y and the like.
    """
    path = Path(path)
    star = read_star(path)
    name = _particle_block(star, path)
    columns = RelionColumns(path, star.blocks[name], star.blocks.get("optics"))
    unread: Unread = {}
    refuse(columns, unread)
    names = columns.text("rlnImageName")
    assert names is not None
    files, file_index, slice_index, uids = image_locations(names, path)
    optics, optics_group = optics_groups(columns)
    pixel_size = one_pixel_size(optics, optics_group, path, "rlnImagePixelSize")
    box, micrographs = columns.box(files), columns.text("rlnMicrographName")
    originals = columns.text(ORIGINAL_NAME)
    poses = poses_of_rows(columns, pixel_size, unread)
    if poses is not None:
        poses = poses_from_images(poses, optics, optics_group)
    return ParticleStack(
        source=path,
        table=RelionTable(path, star, name),
        rows=np.arange(len(uids)),
        uids=uids,
        files=files,
        file_index=file_index,
        slice_index=slice_index,
        box=box,
        pixel_size_angstrom=pixel_size,
        optics=optics,
        optics_group=optics_group,
        ctf=columns.ctf(),
        poses=poses,
        half_set=half_sets_of_rows(columns, unread),
        classes=classes_of_rows(columns, unread),
        micrographs=None if micrographs is None else micrographs.strings(),
        coordinates_angstrom=coordinates_angstrom(columns, optics, optics_group, unread),
        tubes=tubes_of(columns),
        not_modelled=not_modelled(columns, pixel_size),
        original_names=None if originals is None else image_uids(originals),
        unread=unread,
    )


def _particle_block(star: StarFile, path: Path) -> str:
    # RELION 3.1 and later look for the particles by this name, before for the first block
    for name in sorted(star.blocks, key=lambda name: name != "particles"):
        block = star.blocks[name]
        if "rlnImageName" in block.table:
            if not len(block):
                fix = "select some particles and write the table again"
                raise BadDataError("the table has no rows", file=path, fix=fix)
            return name
    problem = "no table with image names"
    fix = "give a table of extracted particles (a particles.star or run_data.star)"
    raise BadDataError(problem, file=path, column="rlnImageName", fix=fix)


def image_name(slice_index: int, stack: str) -> str:
    """`000001@stack.mrcs`; a stack that ends in .mrc, which RELION takes for a map, is marked."""
    return image_uid(slice_index, stack + ":mrcs" * takes_for_map(stack))


def takes_for_map(stack: str) -> bool:
    """Whether RELION refuses to read images from a stack of this name."""
    return stack.lower().endswith(".mrc")


def write_particles(
    path: Path | str, stack: ParticleStack, poses: Poses | None, half_set: np.ndarray | None
) -> None:
    """The table of `particles_with`, in its own dialect.

    Raises
    ------
    ResourceError: the disk does not take it.
    """
    write_star(path, particles_with(stack, poses, half_set))


def particles_with(
    stack: ParticleStack,
    poses: Poses | None,
    half_set: np.ndarray | None,
    classes: Classes | None = None,
) -> StarFile:
    """The stack's rows of its original table, with poses, half-sets (1, 2) and classes set.

    Every other token stays as it was read. Rows are those of `stack.rows`, so a stack that
    was selected or sorted gets its own values. Origins are in the table's dialect.
    """
    table: RelionTable = stack.table
    columns = columns_of_rows(stack)
    if poses is not None:
        dialect = ORIGINS_PIXEL if table.optics is None else ORIGINS_ANGSTROM
        # a table that holds both dialects must not contradict itself
        names = {*dialect} | ({*ORIGINS_PIXEL, *ORIGINS_ANGSTROM} & {*columns})
        poses = poses_in_images(poses, stack.optics, stack.optics_group)
        written = _pose_columns(poses, stack.pixel_size_angstrom)
        columns |= {k: v for k, v in written.items() if k in names or "Origin" not in k}
    if half_set is not None:
        columns[HALF_SET] = _integers(half_set)
    if classes is not None:
        # those of an earlier run may have been more
        columns = {k: v for k, v in columns.items() if not is_posterior(k)}
        columns |= class_columns(classes)
    return StarFile(dict(table.star.blocks) | {table.name: table.particles.with_table(columns)})


def columns_of_rows(stack: ParticleStack) -> dict[str, Sequence[str]]:
    """The tokens of the stack's rows in its original table."""
    block: StarBlock = stack.table.particles
    if np.array_equal(stack.rows, np.arange(len(block))):
        return dict(block.table)
    return {name: block.column(name)[stack.rows] for name in block.table}


def write_new_particles(
    path: Path | str,
    image_names: list[str],
    optics: tuple[Optics, ...],
    box: int,
    optics_group: np.ndarray,
    ctf: CtfParameters,
    poses: Poses | None = None,
    micrographs: list[str] | None = None,
    coordinates: np.ndarray | None = None,
    half_set: np.ndarray | None = None,
    original_names: list[str] | None = None,
    classes: Classes | None = None,
) -> None:
    """A fresh table in RELION 3.1's dialect; the parameters are those of `new_particles`."""
    write_star(
        path,
        new_particles(
            image_names,
            optics,
            box,
            optics_group,
            ctf,
            poses,
            micrographs,
            coordinates,
            half_set,
            original_names,
            classes=classes,
        ),
    )


def new_particles(
    image_names: list[str],
    optics: tuple[Optics, ...],
    box: int,
    optics_group: np.ndarray,
    ctf: CtfParameters,
    poses: Poses | None = None,
    micrographs: list[str] | None = None,
    coordinates: np.ndarray | None = None,
    half_set: np.ndarray | None = None,
    original_names: list[str] | None = None,
    tubes: np.ndarray | None = None,
    classes: Classes | None = None,
) -> StarFile:
    """The blocks of a fresh table in RELION 3.1's dialect.

    Parameters
    ----------
    image_names: `000001@stack.mrcs`, counted from 1.
    optics_group: index into `optics` of each particle, from 0.
    coordinates: (n, 2) x, y in pixels of the micrograph.
    original_names: the images these were made from.
    tubes: see ParticleStack.
    """
    columns: dict[str, Sequence[str]] = {"rlnImageName": [quoted(name) for name in image_names]}
    if original_names is not None:
        columns[ORIGINAL_NAME] = [quoted(name) for name in original_names]
    if micrographs is not None:
        columns["rlnMicrographName"] = [quoted(name) for name in micrographs]
    if coordinates is not None:
        columns |= zip(COORDINATES, (_decimals(xy) for xy in coordinates.T), strict=True)
    if tubes is not None:
        columns[TUBE] = _integers(tube_numbers(tubes))
    columns |= {
        "rlnDefocusU": _decimals(ctf.defocus_u_angstrom),
        "rlnDefocusV": _decimals(ctf.defocus_v_angstrom),
        "rlnDefocusAngle": _decimals(ctf.defocus_angle_degrees),
        "rlnPhaseShift": _decimals(ctf.phase_shift_degrees),
        "rlnOpticsGroup": _integers(optics_group + 1),
    }
    if poses is not None:
        poses = poses_in_images(poses, optics, optics_group)
        written = _pose_columns(poses, optics[0].pixel_size_angstrom)
        columns |= {k: v for k, v in written.items() if k not in ORIGINS_PIXEL}
    if half_set is not None:
        columns[HALF_SET] = _integers(half_set)
    if classes is not None:
        columns |= class_columns(classes)
    blocks = {"optics": optics_block(optics, box), "particles": StarBlock({}, columns)}
    return StarFile(blocks)


def _pose_columns(poses: Poses, pixel_size_angstrom: float) -> dict[str, Tokens]:
    """Angles, origins in both units, and confidence, as RELION names and counts them."""
    angles = rotation_to_euler(poses.rotations)
    origins = shifts_from_relion_origins(poses.shifts_angstrom)
    columns = {name: _decimals(angles[:, i]) for i, name in enumerate(ANGLES)}
    for i in range(2):
        columns[ORIGINS_ANGSTROM[i]] = _decimals(origins[:, i])
        columns[ORIGINS_PIXEL[i]] = _decimals(origins[:, i] / pixel_size_angstrom)
    return columns | {CONFIDENCE: _decimals(poses.confidence)}


def _decimals(values: Tensor | np.ndarray) -> Tokens:
    return Tokens(np.array([b"%.6f" % value for value in values.tolist()], dtype=np.bytes_))


def _integers(values: np.ndarray) -> Tokens:
    return Tokens(values.astype(np.int64).astype(np.bytes_))
