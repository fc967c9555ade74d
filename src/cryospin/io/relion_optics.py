"""The optics of a RELION table, with aberrations and magnification, and a table of ours.

A quantity that is missing, or no number, is neutral: no tilt, no aberration, a round image.
"""

from __future__ import annotations

import numpy as np

from cryospin.errors import BadDataError
from cryospin.io.relion_columns import OPTICS_FIXES, RelionColumns, number
from cryospin.io.star import StarBlock, quoted
from cryospin.types import Optics

# each with its neutral value
TILT = {"rlnBeamTiltX": 0.0, "rlnBeamTiltY": 0.0}
MAGNIFICATION = {"rlnMagMat00": 1.0, "rlnMagMat01": 0.0, "rlnMagMat10": 0.0, "rlnMagMat11": 1.0}
ODD, EVEN = ZERNIKE = ("rlnOddZernike", "rlnEvenZernike")
_STRETCH = (0.5, 2.0)  # beyond what any microscope does


def optics_groups(columns: RelionColumns) -> tuple[tuple[Optics, ...], np.ndarray]:
    """The distinct optics in the table's order of groups, and each particle's.

    Raises
    ------
    BadDataError: no voltage, Cs or amplitude contrast; a magnification matrix far from 1.
    """
    kv, cs, contrast = (columns.required(name, fix) for name, fix in OPTICS_FIXES.items())
    group = columns.integers("rlnOpticsGroup")
    group = np.ones(len(kv)) if group is None else group
    magnification = _or_neutral(columns, MAGNIFICATION)
    _refuse_strange(columns, magnification)
    (odd, odd_number), (even, even_number) = (_vectors(columns, name) for name in ZERNIKE)
    sizes = [columns.pixel_sizes(), micrograph_pixel_sizes(columns)]
    aberrations = [*_or_neutral(columns, TILT).T, odd_number, even_number, *magnification.T]
    table = np.stack([group, *sizes, kv, cs, contrast, *aberrations], axis=1)
    # a million rows are sorted by what differs alone
    varying = (table != table[0]).any(axis=0)
    varying[0] = True
    _, first, members = np.unique(table[:, varying], axis=0, return_index=True, return_inverse=True)
    found = []
    for count, row in enumerate(table[first].tolist(), start=1):
        name, pixel, micrograph, kilovolts, millimetres, amplitude, x, y, i, k, *matrix = row
        # RELION 3.0 has no numbers; its distinct optics are counted
        optics = Optics(
            f"opticsGroup{name if columns.optics is not None else count:g}",
            pixel,
            kilovolts,
            millimetres,
            amplitude,
            micrograph or None,
            (x, y),
            odd[int(i)],
            even[int(k)],
            (matrix[0], matrix[1], matrix[2], matrix[3]),
        )
        found.append(optics)
    return tuple(found), members.reshape(-1)


def micrograph_pixel_sizes(columns: RelionColumns) -> np.ndarray:
    """Of the micrographs, which coordinates are counted in, in Angstrom, (n,); 0: unknown.

    Extracted particles often have the movies' pixel size alone, which is the micrographs'
    unless motion correction binned them.
    """
    sizes = np.zeros(len(columns.particles))
    for name in ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize"):
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
    columns = {
        "rlnOpticsGroup": [str(number + 1) for number in range(len(optics))],
        "rlnOpticsGroupName": [quoted(group.name) for group in optics],
        "rlnVoltage": [f"{group.voltage_kv:.6f}" for group in optics],
        "rlnSphericalAberration": [f"{group.spherical_aberration_mm:.6f}" for group in optics],
        "rlnAmplitudeContrast": [f"{group.amplitude_contrast:.6f}" for group in optics],
        "rlnImagePixelSize": [f"{group.pixel_size_angstrom:.6f}" for group in optics],
        "rlnImageSize": [str(box)] * len(optics),
        "rlnImageDimensionality": ["2"] * len(optics),
    }
    if any(group.micrograph_pixel_size_angstrom for group in optics):
        sizes = [g.micrograph_pixel_size_angstrom or g.pixel_size_angstrom for g in optics]
        columns["rlnMicrographPixelSize"] = [f"{size:.6f}" for size in sizes]
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
    tokens = columns.tokens(name) or [""] * len(columns.particles)
    distinct, which = np.unique(tokens, return_inverse=True)
    return [zernike_vector(str(token)) or () for token in distinct], which


def _refuse_strange(columns: RelionColumns, matrices: np.ndarray) -> None:
    """matrices: (n, 4). Real ones differ from 1 by a few per cent."""
    distinct, first = np.unique(matrices, axis=0, return_index=True)
    stretch = np.linalg.svd(distinct.reshape(-1, 2, 2), compute_uv=False)
    strange = (stretch < _STRETCH[0]).any(axis=1) | (stretch > _STRETCH[1]).any(axis=1)
    if strange.any():
        row = int(first[strange].min())
        found = " ".join(f"{value:g}" for value in matrices[row])
        raise BadDataError(
            f"{found} is no magnification matrix, which is close to 1 0 0 1",
            file=columns.path,
            row=row + 1,
            column="rlnMagMat00",
            fix="correct rlnMagMat00 to rlnMagMat11, or delete them for round images",
        )
