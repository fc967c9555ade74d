"""The optics of a cryoSPARC table, with beam tilt and magnification.

A quantity that is missing, or no number, is neutral: no tilt, a round image.
"""

from __future__ import annotations

import numpy as np
import torch

from cryospin.io.conventions import beam_tilt_from_cryosparc, magnification_from_cryosparc
from cryospin.io.cryosparc_columns import CryosparcColumns
from cryospin.io.distortion import no_magnification
from cryospin.io.rows import distinct_rows
from cryospin.optics import Optics

TILT, MAGNIFICATION = "ctf/tilt_A", "ctf/anisomag"
# see Optics; a column of ours, which cryoSPARC keeps and makes nothing of
ASSUMED = "cryospin/assumed_micrograph_psize_A"


def optics_groups(columns: CryosparcColumns) -> tuple[tuple[Optics, ...], np.ndarray]:
    """The distinct optics, ordered by exposure group, and each particle's.

    Raises
    ------
    BadDataError: no number where there must be one; a magnification matrix far from 1.
    """
    names = ("blob/psize_A", "ctf/accel_kv", "ctf/cs_mm", "ctf/amp_contrast")
    micrograph = _length(columns, "location/micrograph_psize_A")
    table = [
        columns.optional("ctf/exp_group_id", 0.0),
        *map(columns.numbers, names),
        micrograph,
        np.where(micrograph > 0, 0.0, _length(columns, ASSUMED)),
        *_or_zero(columns, TILT, 2).T,
        *_or_zero(columns, MAGNIFICATION, 4).T,
    ]
    first, members = distinct_rows(np.stack(table, axis=1))
    distinct = _as_written(np.stack(table, axis=1)[first])
    tilts = beam_tilt_from_cryosparc(distinct[:, 7:9], distinct[:, 3:4])
    matrices = magnification_from_cryosparc(distinct[:, 9:])
    if (strange := no_magnification(matrices.numpy())) is not None:
        which, problem = strange
        fix = "set it to 0 for round images"
        raise columns.refuse(problem, MAGNIFICATION, fix, int(first[which]))
    found = []
    for row, (x, y), (m00, m01, m10, m11) in zip(
        distinct.tolist(), tilts.tolist(), matrices.tolist(), strict=True
    ):
        number, pixel, kv, cs, contrast, of_micrograph, taken_for = row[:7]
        optics = Optics(
            f"expGroup{number:g}",
            pixel,
            kv,
            cs,
            contrast,
            of_micrograph or None,
            beam_tilt_mrad=(x, y),
            magnification=(m00, m01, m10, m11),
            assumed_micrograph_pixel_size_angstrom=taken_for or None,
        )
        found.append(optics)
    return tuple(found), members


def _length(columns: CryosparcColumns, name: str) -> np.ndarray:
    """(n,); 0 where there is none."""
    sizes = columns.known_numbers(name) if name in columns else np.zeros(len(columns.rows))
    return np.where(sizes > 0, sizes, 0.0)


def _or_zero(columns: CryosparcColumns, name: str, width: int) -> np.ndarray:
    """(n, width), zero where there is no number: no tilt, and a round image."""
    if name not in columns:
        return np.zeros((len(columns.rows), width))
    values = columns.known_numbers(name, (width,))
    known = np.isfinite(values).all(axis=1, keepdims=True)
    return np.where(known, values, 0.0)


def _as_written(values: np.ndarray) -> torch.Tensor:
    """0.1 for the float32 nearest to it, and so on: what was meant, for the next table."""
    rounded = [[float(f"{value:.7g}") for value in row] for row in values]
    return torch.tensor(rounded, dtype=torch.float64)
