"""cryoSPARC particle tables (`.cs`): ours from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryospin.errors import BadDataError
from cryospin.io.cryosparc_classes import classes_of_rows
from cryospin.io.cryosparc_columns import (
    ORIGINAL_NAME,
    REQUIRED,
    CryosparcColumns,
)
from cryospin.io.cryosparc_not_modelled import not_modelled
from cryospin.io.cryosparc_optics import optics_groups
from cryospin.io.cryosparc_table import (
    covers,
    joined,
    passthroughs_beside,
    read_cs,
    uids_of,
)
from cryospin.io.distortion import poses_from_images
from cryospin.io.image_files import numbered_stacks, one_pixel_size, plain_name
from cryospin.io.relion_images import image_uids
from cryospin.names import ImageNames
from cryospin.optics import Optics
from cryospin.types import ParticleStack, Unread


@dataclass(frozen=True)
class CryosparcTable:
    """The rows of a `.cs` file, with the columns of its passthroughs joined at the end."""

    path: Path
    rows: np.ndarray


def read_cryosparc(path: Path | str, passthroughs: Sequence[Path | str] = ()) -> ParticleStack:
    """The particles of a `.cs` file; of stacks nothing is read.

    Parameters
    ----------
    passthroughs: joined by `uid`. Where columns are still missing, passthrough files in the
        same folder that hold all particles are joined too.

    Raises
    ------
    BadDataError: what `read_cs` refuses, missing columns, values that are no numbers (poses,
        half-sets, classes and places excepted, which `unread` tells of), particles of several
        boxes or pixel sizes, particles the passthrough does not know.
    """
    path = Path(path)
    rows, companions = _with_passthroughs(path, [Path(file) for file in passthroughs])
    if not len(rows):
        raise BadDataError("the table has no rows", file=path, fix="select some particles")
    columns = CryosparcColumns(path, rows)
    (names, stack), slices = columns.stack_names(), columns.slices()
    files, file_of_stack, _ = numbered_stacks(names, path)
    file_index = file_of_stack[stack]
    uids = ImageNames.of([*map(plain_name, names)], stack, slices + 1)
    optics, optics_group = optics_groups(columns)
    pixel_size = one_pixel_size(optics, optics_group, path, "blob/psize_A")
    box = columns.box()
    unread: Unread = {}
    poses = columns.poses(pixel_size, unread)
    if poses is not None:
        poses = poses_from_images(poses, optics, optics_group)
    micrographs, coordinates = _places(columns, optics, optics_group, unread)
    return ParticleStack(
        source=path,
        table=CryosparcTable(path, rows),
        rows=np.arange(len(uids)),
        uids=uids,
        files=files,
        file_index=file_index,
        slice_index=slices,
        box=box,
        pixel_size_angstrom=pixel_size,
        optics=optics,
        optics_group=optics_group,
        ctf=columns.ctf(),
        poses=poses,
        half_set=columns.half_set(unread),
        classes=classes_of_rows(columns, unread),
        micrographs=micrographs,
        coordinates_angstrom=coordinates,
        image_sign=columns.image_sign(),
        tubes=_tubes(columns),
        not_modelled=not_modelled(columns, pixel_size),
        unread=unread,
        companions=tuple(companions),
        original_names=(
            image_uids(columns.text(ORIGINAL_NAME)) if ORIGINAL_NAME in columns else None
        ),
    )


def _with_passthroughs(path: Path, given: list[Path]) -> tuple[np.ndarray, list[Path]]:
    """The joined rows, and the files that were joined."""
    rows, taken = read_cs(path), list(given)
    uids = uids_of(rows, path)
    for file in given:
        rows = joined(rows, path, read_cs(file), file)

    def missing() -> list[str]:
        return [name for name in REQUIRED if name not in (rows.dtype.names or ())]

    beside = passthroughs_beside(path) if missing() else []
    for file in beside:
        other = read_cs(file)
        if missing() and covers(other, uids):
            rows = joined(rows, path, other, file)
            taken.append(file)
    if lacking := missing():
        looked = f"; looked into {', '.join(file.name for file in beside)}" if beside else ""
        raise BadDataError(
            f"no such column ({len(lacking)} missing{looked})",
            file=path,
            column=lacking[0],
            fix="put the job's passthrough_particles.cs beside it, or join it in:"
            f" cryospin convert {path.name} joined.cs --passthrough FILE",
        )
    return rows, taken


def _places(
    columns: CryosparcColumns, optics: tuple[Optics, ...], group: np.ndarray, unread: Unread
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Micrographs (n,) and coordinates (n, 2) x, y in Angstrom, if the table says so."""
    x_and_y = ("location/center_x_frac", "location/center_y_frac")
    wanted = (*x_and_y, "location/micrograph_shape")
    missing = [name for name in wanted if name not in columns]
    if missing and (present := [name for name in x_and_y if name in columns]):
        problem = f"no such column, but there is {' and '.join(present)}"
        raise columns.refuse(problem, missing[0], "join it in from the job's passthrough")
    if "location/micrograph_path" not in columns:
        return None, None
    try:
        micrographs = columns.text("location/micrograph_path").strings()
    except BadDataError as error:
        unread["micrographs"] = error
        return None, None
    if missing:
        return micrographs, None
    # rows, columns
    shape = columns.known_numbers("location/micrograph_shape", (2,), "coordinates", unread)
    x, y = (columns.known_numbers(name, (), "coordinates", unread) for name in x_and_y)
    sizes = [each.coordinate_pixel_size_angstrom for each in optics]
    places = np.stack([x * shape[:, 1], y * shape[:, 0]], axis=1)
    return micrographs, places * np.array(sizes)[group][:, None]


def _tubes(columns: CryosparcColumns) -> np.ndarray | None:
    """The filament of each segment, as a number, (n,); -1 for particles of none."""
    if "filament/filament_uid" not in columns:
        return None
    uid = columns.rows["filament/filament_uid"]
    if uid.ndim != 1 or not uid.any():
        return None
    return np.where(uid == 0, -1, np.unique(uid, return_inverse=True)[1])
