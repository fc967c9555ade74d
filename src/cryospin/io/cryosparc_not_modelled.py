"""Which columns of a cryoSPARC table tell of the images what the forward model leaves out.

cryoSPARC publishes no formulas for the signs of its aberrations and the form of its
magnification, so these are told and not applied. A column of neutral values tells nothing and is
not mentioned.
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


def not_modelled(
    columns: CryosparcColumns, box: int, pixel_size_angstrom: float
) -> tuple[NotModelled, ...]:
    """What is in the table and nothing makes use of, with what that costs where it is known."""
    return tuple(_found(columns, box * pixel_size_angstrom, 2.0 * pixel_size_angstrom))


def _found(columns: CryosparcColumns, width: float, nyquist: float) -> Iterator[NotModelled]:
    if not nyquist > 0:
        return  # nonsense, which the audit refuses
    if (tilt := _values(columns, "ctf/tilt_A")) is not None:
        wavelength = wavelength_angstrom(float(columns.numbers("ctf/accel_kv").min()))
        # the tilt times Cs, in Angstrom
        worst = 2 * np.pi * wavelength**2 * np.linalg.norm(tilt, axis=1).max() / nyquist**3
        yield NotModelled(("ctf/tilt_A",), "beam tilt", costs.of_phases(worst, nyquist))
    if (matrix := _values(columns, "ctf/anisomag")) is not None and matrix.shape[1] == 4:
        distinct = np.unique(matrix, axis=0).reshape(-1, 2, 2)
        # programs that write it hold it for the matrix or for the matrix less one
        less_one = np.abs(distinct[:, 0, 0] + distinct[:, 1, 1]) < 1
        distinct[less_one] += np.eye(2)
        cost = costs.of_magnification(distinct, width)
        if not np.allclose(distinct, np.eye(2), rtol=0, atol=1e-9):
            yield NotModelled(("ctf/anisomag",), "anisotropic magnification", cost)
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


def _values(columns: CryosparcColumns, name: str, neutral: float = 0.0) -> np.ndarray | None:
    """(n, c), neutral where there is no number; None where all are neutral or not there."""
    if name not in columns:
        return None
    values = columns.known_numbers(name, columns.rows[name].shape[1:])
    values = np.where(np.isfinite(values), values, neutral).reshape(len(values), -1)
    return None if np.allclose(values, neutral, rtol=0, atol=1e-9) else values
