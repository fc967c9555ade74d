"""The optics of a RELION table, with aberrations and magnification, and a table of ours.

A quantity that is missing, or no number, is neutral: no tilt, no aberration, a round image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cryospin.errors import BadDataError
from cryospin.io.distortion import no_magnification
from cryospin.io.relion_columns import OPTICS_FIXES, RelionColumns
from cryospin.io.rows import distinct_rows
from cryospin.io.star import StarBlock, quoted
from cryospin.io.tokens import number
from cryospin.optics import Optics

# each with its neutral value
TILT = {"rlnBeamTiltX": 0.0, "rlnBeamTiltY": 0.0}
MAGNIFICATION = {"rlnMagMat00": 1.0, "rlnMagMat01": 0.0, "rlnMagMat10": 0.0, "rlnMagMat11": 1.0}
ODD, EVEN = ZERNIKE = ("rlnOddZernike", "rlnEvenZernike")
PHASE_FLIPPED = "rlnCtfDataArePhaseFlipped"
# see Optics; a column of ours, which other programs keep and make nothing of
ASSUMED = "cryospinAssumedMicrographPixelSize"


def optics_groups(columns: RelionColumns) -> tuple[tuple[Optics, ...], np.ndarray]:
    """The distinct optics in the table's order of groups, and each particle's.

    Raises
    ------
    BadDataError: no voltage, Cs or amplitude contrast; a magnification matrix far from 1.
    """
    beam = [columns.required(name, fix) for name, fix in OPTICS_FIXES.items()]
    group = columns.integers("rlnOpticsGroup")
    group = np.ones(len(beam[0])) if group is None else group
    magnification = _or_neutral(columns, MAGNIFICATION)
    _refuse_strange(columns, magnification)
    (odd, odd_number), (even, even_number) = (_vectors(columns, name) for name in ZERNIKE)
    micrograph = micrograph_pixel_sizes(columns)
    assumed = np.where(micrograph > 0, 0.0, _first_known(columns, (ASSUMED,)))
    flipped = columns.known_numbers(PHASE_FLIPPED)
    flipped = np.zeros(len(micrograph)) if flipped is None else flipped == 1
    sizes = [columns.pixel_sizes(), micrograph, assumed, flipped]
    aberrations = [*_or_neutral(columns, TILT).T, odd_number, even_number, *magnification.T]
    table = np.stack([group, *sizes, *beam, *aberrations], axis=1)
    first, members = distinct_rows(table)
    found = []
    for count, row in enumerate(table[first].tolist(), start=1):
        name, pixel, of_micrograph, taken_for, flips, kv, cs, contrast, x, y, i, k, *matrix = row
        # RELION 3.0 has no numbers; its distinct optics are counted
        optics = Optics(
            f"opticsGroup{name if columns.optics is not None else count:g}",
            pixel,
            kv,
            cs,
            contrast,
            of_micrograph or None,
            (x, y),
            odd[int(i)],
            even[int(k)],
            (matrix[0], matrix[1], matrix[2], matrix[3]),
            taken_for or None,
            bool(flips),
        )
        found.append(optics)
    return tuple(found), members


def micrograph_pixel_sizes(columns: RelionColumns) -> np.ndarray:
    """Of the micrographs, which coordinates are counted in, in Angstrom, (n,); 0: unknown.

    Extracted particles often have the movies' pixel size alone, which is the micrographs'
    unless motion correction binned them.
    """
    return _first_known(columns, ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize"))


def _first_known(columns: RelionColumns, names: tuple[str, ...]) -> np.ndarray:
    """The first of the columns with a positive number, (n,); 0 where none has one."""
    sizes = np.zeros(len(columns.particles))
    for name in names:
        found = columns.known_numbers(name)
        if found is not None:
            sizes = np.where((sizes == 0) & np.isfinite(found) & (found > 0), found, sizes)
    return sizes


def zernike_vector(token: str) -> tuple[float, ...] | None:
    """The numbers of `[0.1,-0.2]`, () where all are zero; None where it is something else."""
    if token in ("", "None", "[]"):
        return ()
    numbers = [number(part) for part in token.strip("[]").split(",")]
    if not np.isfinite(numbers).all():
        return None
    return tuple(numbers) if any(numbers) else ()


def optics_block(optics: tuple[Optics, ...], box: int) -> StarBlock:
    """A table data_optics of RELION 3.1; aberrations only where there are some."""
    columns: dict[str, Sequence[str]] = {
        "rlnOpticsGroup": [str(number + 1) for number in range(len(optics))],
        "rlnOpticsGroupName": [quoted(group.name) for group in optics],
        "rlnVoltage": [f"{group.voltage_kv:.6f}" for group in optics],
        "rlnSphericalAberration": [f"{group.spherical_aberration_mm:.6f}" for group in optics],
        "rlnAmplitudeContrast": [f"{group.amplitude_contrast:.6f}" for group in optics],
        "rlnImagePixelSize": [f"{group.pixel_size_angstrom:.6f}" for group in optics],
        "rlnImageSize": [str(box)] * len(optics),
        "rlnImageDimensionality": ["2"] * len(optics),
    }
    for name, sizes in (
        ("rlnMicrographPixelSize", [group.micrograph_pixel_size_angstrom for group in optics]),
        (ASSUMED, [group.assumed_micrograph_pixel_size_angstrom for group in optics]),
    ):
        if any(sizes):
            # zero is unknown
            columns[name] = [f"{size or 0.0:.6f}" for size in sizes]
    if any(any(group.beam_tilt_mrad) for group in optics):
        for i, name in enumerate(TILT):
            columns[name] = [f"{group.beam_tilt_mrad[i]:.6f}" for group in optics]
    for name, vectors in (
        (ODD, [group.odd_zernike for group in optics]),
        (EVEN, [group.even_zernike for group in optics]),
    ):
        if any(vectors):
            columns[name] = [f"[{','.join(f'{x:.6g}' for x in v or (0.0,))}]" for v in vectors]
    if not all(group.round for group in optics):
        for i, name in enumerate(MAGNIFICATION):
            columns[name] = [f"{group.magnification[i]:.8f}" for group in optics]
    return StarBlock({}, columns)


def _or_neutral(columns: RelionColumns, neutral: dict[str, float]) -> np.ndarray:
    """Columns of aberrations, (n, c), neutral where there is no number."""
    values = np.tile([*neutral.values()], (len(columns.particles), 1))
    for i, name in enumerate(neutral):
        found = columns.known_numbers(name)
        if found is not None:
            values[:, i] = np.where(np.isfinite(found), found, values[:, i])
    return values


def _vectors(columns: RelionColumns, name: str) -> tuple[list[tuple[float, ...]], np.ndarray]:
    """The distinct vectors `[0.1,-0.2]` of a column, and the number of each particle's."""
    tokens = columns.tokens(name)
    if tokens is None:
        return [()], np.zeros(len(columns.particles), dtype=np.int64)
    distinct, which = tokens.distinct()
    return [zernike_vector(token) or () for token in distinct], which


def _refuse_strange(columns: RelionColumns, matrices: np.ndarray) -> None:
    """matrices: (n, 4). Real ones differ from 1 by a few per cent."""
    strange = no_magnification(matrices)
    if strange is not None:
        row, found = strange
        raise BadDataError(
            found,
            file=columns.path,
            row=row + 1,
            column="rlnMagMat00",
            fix="correct rlnMagMat00 to rlnMagMat11, or delete them for round images",
        )
