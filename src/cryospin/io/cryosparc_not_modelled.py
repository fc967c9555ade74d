"""Which columns of a cryoSPARC table tell of the images what the forward model leaves out.

Nothing public tells the scale and signs of its trefoil and tetrafoil, so these are told and not
applied. A column of neutral values tells nothing and is not mentioned.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cryospin.ctf import wavelength_angstrom
from cryospin.io import costs
from cryospin.io.cryosparc_columns import CryosparcColumns
from cryospin.types import NotModelled

# columns whose formula is not published: how wrong it is cannot be told
_UNKNOWN_COST = {
    "ctf/trefoil_A": "trefoil",
    "ctf/tetra_A": "tetrafoil and higher symmetrical aberrations",
    "ctf/scale_const": "constant part of the CTF",
}


def not_modelled(columns: CryosparcColumns, pixel_size_angstrom: float) -> tuple[NotModelled, ...]:
    """What is in the table and nothing makes use of, with what that costs where it is known."""
    return tuple(_found(columns, 2.0 * pixel_size_angstrom))


def _found(columns: CryosparcColumns, nyquist: float) -> Iterator[NotModelled]:
    if not nyquist > 0:
        return  # nonsense, which the audit refuses
    for name, width in (("ctf/tilt_A", 2), ("ctf/anisomag", 4)):
        if unread := _unread(columns, name, width):
            cost = f"{unread} particles have no number there and are taken to have none"
            yield NotModelled((name,), "aberrations that are no numbers", cost)
    if (tilt := _values(columns, "ctf/tilt_A")) is not None:
        # with a Cs it is taken for RELION's tilt (io.conventions)
        coma = np.linalg.norm(tilt, axis=1) * (columns.numbers("ctf/cs_mm") <= 0)
        if coma.any():
            wavelength = wavelength_angstrom(float(columns.numbers("ctf/accel_kv").min()))
            cost = costs.of_phases(2 * np.pi * wavelength**2 * coma.max() / nyquist**3, nyquist)
            yield NotModelled(("ctf/tilt_A",), "beam tilt without a Cs", cost)
    for name, what in _UNKNOWN_COST.items():
        if _values(columns, name) is not None:
            yield NotModelled((name,), what, "the CTF is taken to have none")
    if (shift := _values(columns, "ctf/shift_A")) is not None:
        farthest = np.linalg.norm(shift, axis=1).max()
        cost = (
            f"it adds up to {farthest:.2g} Angstrom to the particles' own shifts, which are found"
        )
        yield NotModelled(("ctf/shift_A",), "image shift of exposure groups", cost)
    if (bfactor := _values(columns, "ctf/bfactor")) is not None:
        cost = costs.of_bfactor(bfactor, nyquist)
        yield NotModelled(("ctf/bfactor",), "B-factors of the particles", cost)
    if (scale := _values(columns, "ctf/scale", neutral=1.0)) is not None and scale.any():
        yield NotModelled(("ctf/scale",), "scale of the particles", costs.of_scale(scale))
    filament = [name for name in columns.rows.dtype.names or () if name.startswith("filament/")]
    if (
        "filament/filament_uid" in filament
        and _values(columns, "filament/filament_uid") is not None
    ):
        yield NotModelled(tuple(filament), "helical geometry", costs.OF_HELICES)


def _unread(columns: CryosparcColumns, name: str, width: int) -> int:
    """How many particles have something in a column that is no row of so many numbers."""
    if name not in columns:
        return 0
    return int(np.isnan(columns.known_numbers(name, (width,))).any(axis=1).sum())


def _values(columns: CryosparcColumns, name: str, neutral: float = 0.0) -> np.ndarray | None:
    """(n, c), neutral where there is no number; None where all are neutral or not there."""
    if name not in columns:
        return None
    values = columns.known_numbers(name, columns.rows[name].shape[1:])
    values = np.where(np.isfinite(values), values, neutral).reshape(len(values), -1)
    return None if np.allclose(values, neutral, rtol=0, atol=1e-9) else values
