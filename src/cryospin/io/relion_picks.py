"""Where the particles of a RELION table were picked: place on the micrograph, helical tube."""

from __future__ import annotations

import numpy as np

from cryospin.io.relion_columns import RelionColumns
from cryospin.optics import Optics
from cryospin.types import Unread

COORDINATES = ("rlnCoordinateX", "rlnCoordinateY")
TUBE = "rlnHelicalTubeID"


def coordinates_angstrom(
    columns: RelionColumns, optics: tuple[Optics, ...], group: np.ndarray, unread: Unread
) -> np.ndarray | None:
    """(n, 2) x, y; NaN where the table has no number, which `unread` is told.

    RELION counts them in pixels of the micrograph, however far the particles were binned.
    Where no column tells that pixel size, one is assumed.
    """
    x, y = (columns.known_numbers(name, "coordinates", unread) for name in COORDINATES)
    if x is None or y is None:
        return None
    sizes = np.array([each.coordinate_pixel_size_angstrom for each in optics])
    return np.stack([x, y], axis=1) * sizes[group][:, None]


def tubes_of(columns: RelionColumns) -> np.ndarray | None:
    """A number for each helical tube, (n,), -1 where there is none; numbered per micrograph."""
    number = columns.known_numbers(TUBE)
    if number is None or not np.nan_to_num(number).any():
        return None
    names = columns.text("rlnMicrographName")
    micrograph = np.zeros(len(number)) if names is None else names.distinct()[1]
    pairs = np.stack([micrograph, np.nan_to_num(number)], axis=1)
    _, tube = np.unique(pairs, axis=0, return_inverse=True)
    return np.where(np.isfinite(number), tube.reshape(-1), -1)


def tube_numbers(tubes: np.ndarray) -> np.ndarray:
    """rlnHelicalTubeID of each particle, from 1, (n,). RELION has no particles of no tube beside
    those of one: each is a tube of its own."""
    alone = np.flatnonzero(tubes < 0)
    numbers = tubes + 1
    numbers[alone] = numbers.max() + 1 + np.arange(len(alone))
    return numbers
