"""Poses and half-sets of a RELION table: what a reconstruction from scratch does without."""

from __future__ import annotations

import numpy as np
import torch

from cryospin.errors import BadDataError
from cryospin.io.conventions import euler_to_rotation, shifts_from_relion_origins
from cryospin.io.relion_columns import RelionColumns
from cryospin.types import Poses, Unread

ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGINS_ANGSTROM = ("rlnOriginXAngst", "rlnOriginYAngst")
ORIGINS_PIXEL = ("rlnOriginX", "rlnOriginY")
CONFIDENCE = "rlnMaxValueProbDistribution"
HALF_SET = "rlnRandomSubset"


def poses_of_rows(
    columns: RelionColumns, pixel_size_angstrom: float, unread: Unread
) -> Poses | None:
    """float64, NaN where a row has none; None unless some row has all three angles.

    Missing origins are zero, and a confidence that is no number is.
    """
    found = [columns.known_numbers(name, "poses", unread) for name in ANGLES]
    angles = [angle for angle in found if angle is not None]
    if len(angles) < len(ANGLES):
        return None
    shifts, scale = [columns.known_numbers(n, "poses", unread) for n in ORIGINS_ANGSTROM], 1.0
    if any(shift is None for shift in shifts):
        shifts = [columns.known_numbers(n, "poses", unread) for n in ORIGINS_PIXEL]
        scale = pixel_size_angstrom
    zeros = np.zeros(len(columns.particles))
    moved = [zeros if shift is None else shift * scale for shift in shifts]
    values = np.stack([*angles, *moved], axis=1)
    broken = np.isnan(values).any(axis=1)
    if broken.all():
        return None
    values[broken] = np.nan
    confidence = columns.known_numbers(CONFIDENCE, "confidences", unread)
    confidence = zeros + 1.0 if confidence is None else np.nan_to_num(confidence, nan=0.0)
    return Poses(
        euler_to_rotation(torch.from_numpy(values[:, :3].copy())),
        shifts_from_relion_origins(torch.from_numpy(values[:, 3:].copy())),
        torch.from_numpy(confidence.clip(0.0, 1.0)),
    )


def half_sets_of_rows(columns: RelionColumns, unread: Unread) -> np.ndarray | None:
    """1 or 2, (n,) int64; None where the table does not say so of every particle."""
    values = columns.known_numbers(HALF_SET, "half-sets", unread)
    if values is None:
        return None
    strange = np.flatnonzero(~np.isin(values, (1, 2)))
    if not len(strange):
        return values.astype(np.int64)
    row = int(strange[0])
    unread.setdefault(
        "half-sets",
        BadDataError(
            f"{values[row]:g} is no half-set ({len(strange)} such rows)",
            file=columns.path,
            row=row + 1,
            column=HALF_SET,
            fix="a half-set is 1 or 2",
        ),
    )
    return None
