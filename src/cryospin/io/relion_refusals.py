"""RELION tables that are refused as a whole, before anything is read of them."""

from __future__ import annotations

import numpy as np

from cryospin.errors import BadDataError
from cryospin.io.relion_columns import RelionColumns
from cryospin.io.relion_optics import PHASE_FLIPPED
from cryospin.io.relion_picks import COORDINATES
from cryospin.io.relion_poses import ANGLES, ORIGINS_ANGSTROM, ORIGINS_PIXEL
from cryospin.types import Unread

# where one of these holds, the images are not what the forward model says they are
_NOT_MODELLED = {
    "rlnCtfDataAreCtfPremultiplied": (
        1,
        "images are multiplied by their CTF, which leaves nothing of them at its zeros",
        "extract the particles again without it (relion_preprocess: without --premultiply_ctf); "
        "images that are phase-flipped instead are read",
    ),
    "rlnImageDimensionality": (
        3,
        "these are subtomograms",
        "extract the particles again, as 2D images",
    ),
}
# what says nothing unless it is all there; of origins one pair is enough. A tilt or a matrix of
# which a part is missing is neutral in that part (io.relion_optics)
_GROUPS = (
    (ANGLES,),
    (ORIGINS_ANGSTROM, ORIGINS_PIXEL),
    (COORDINATES,),
)
# what picking with templates and helical extraction leave: an angle in the plane is no pose
_NO_GROUP = {"rlnAnglePsi"}


def refuse(columns: RelionColumns, unread: Unread) -> None:
    """Raises BadDataError for images that are not what the forward model says they are, and for a
    group of columns (x and y, three angles) of which some are missing.

    A flag that is no number says nothing, as one that is not there.
    """
    _refuse_images_of_another_kind(columns, unread)
    for alternatives in _GROUPS:
        _refuse_parts(columns, alternatives)


def _refuse_images_of_another_kind(columns: RelionColumns, unread: Unread) -> None:
    if "rlnTomoName" in columns.particles.table:
        # RELION 5's pseudo-subtomograms may be stacks of 2D images, one stack a particle
        fix = "give a table of single-particle images"
        problem = "these particles are of tomograms (tilt series)"
        raise BadDataError(problem, file=columns.path, column="rlnTomoName", fix=fix)
    columns.known_numbers(PHASE_FLIPPED, "flags of the images", unread)
    for name, (value, problem, fix) in _NOT_MODELLED.items():
        values = columns.known_numbers(name, "flags of the images", unread)
        found = np.flatnonzero(values == value) if values is not None else np.empty(0, int)
        if len(found):
            row = int(found[0]) + 1
            raise BadDataError(problem, file=columns.path, row=row, column=name, fix=fix)


def _refuse_parts(columns: RelionColumns, alternatives: tuple[tuple[str, ...], ...]) -> None:
    there = {name for name in columns.names if any(name in group for group in alternatives)}
    if there <= _NO_GROUP or any({*group} <= there for group in alternatives):
        return
    group = next(group for group in alternatives if there & {*group})
    missing = [name for name in group if name not in there]
    present = [name for name in group if name in there]
    raise BadDataError(
        f"no such column, but there is {' and '.join(present)}",
        file=columns.path,
        column=missing[0],
        fix=f"add {' and '.join(missing)}, or remove {' and '.join(present)}",
    )
