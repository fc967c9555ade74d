"""Where the particles of a RELION table were picked: place on the micrograph, helical tube."""

from __future__ import annotations

import numpy as np

from cryospin.io.relion_columns import RelionColumns
from cryospin.io.relion_optics import micrograph_pixel_sizes
from cryospin.types import Unread

COORDINATES = ("rlnCoordinateX", "rlnCoordinateY")


def coordinates_angstrom(columns: RelionColumns, unread: Unread) -> np.ndarray | None:
    """(n, 2) x, y; NaN where the table has no number, which `unread` is told.

    RELION counts them in pixels of the micrograph, however far the particles were binned.
    Where no column tells that pixel size, the images' is assumed.
    """
    x, y = (columns.known_numbers(name, "coordinates", unread) for name in COORDINATES)
    if x is None or y is None:
        return None
    micrograph = micrograph_pixel_sizes(columns)
    size = np.where(micrograph > 0, micrograph, columns.pixel_sizes())
    return np.stack([x, y], axis=1) * size[:, None]


def tubes(columns: RelionColumns) -> np.ndarray | None:
    """A number for each helical tube, (n,), -1 where there is none; numbered per micrograph."""
    number = columns.known_numbers("rlnHelicalTubeID")
    if number is None or not np.nan_to_num(number).any():
        return None
    names = columns.text("rlnMicrographName") or [""] * len(number)
    _, micrograph = np.unique(names, return_inverse=True)
    pairs = np.stack([micrograph, np.nan_to_num(number)], axis=1)
    _, tube = np.unique(pairs, axis=0, return_inverse=True)
    return np.where(np.isfinite(number), tube.reshape(-1), -1)
