"""Refuse particles that cannot be reconstructed, before any compute, naming place and cure.

What can be seen in the table and the stacks' headers. What needs every pixel is for
particles.image_audit; grammar and column types are io's business.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryospin.errors import BadDataError
from cryospin.io.image_files import LOOKED_FOR, same_image
from cryospin.io.mrc_header import MrcHeader, check_complete, read_header
from cryospin.io.rows import distinct_keys, doubled
from cryospin.particles.picks import close_pairs
from cryospin.types import ParticleStack

_TOO_CLOSE = 0.2  # of the box: two particles cannot sit there


@dataclass(frozen=True)
class _Range:
    """What a quantity of the table can be; wide, for it shall only stop nonsense."""

    column: str
    unit: str
    lowest: float
    highest: float
    fix: str


_DEFOCUS_FIX = "defocus is in Angstrom, underfocus positive; convert the column"
_CTF_RANGES = {
    "voltage_kv": _Range("rlnVoltage", "kV", 50.0, 500.0, "write the voltage in kilovolts"),
    "spherical_aberration_mm": _Range(
        "rlnSphericalAberration", "mm", 0.0, 20.0, "write the spherical aberration in millimetres"
    ),
    "amplitude_contrast": _Range(
        "rlnAmplitudeContrast", "", 0.0, 1.0, "write it as a fraction (0.1, not 10 %)"
    ),
    "defocus_u_angstrom": _Range("rlnDefocusU", "Angstrom", -5e3, 1e5, _DEFOCUS_FIX),
    "defocus_v_angstrom": _Range("rlnDefocusV", "Angstrom", -5e3, 1e5, _DEFOCUS_FIX),
}


def audit_table(stack: ParticleStack, min_particles: int = 100) -> None:
    """Everything that can be checked without reading pixels.

    Raises
    ------
    BadDataError: too few particles, one particle twice, segments of a single helical tube,
        nonsense optics or defocus, a stack that is missing, truncated or of another box, an
        index beyond its stack, an odd box.
    """
    if len(stack) < min_particles:
        raise BadDataError(
            f"{len(stack)} particles; at least {min_particles} are needed",
            file=stack.source,
            fix="extract or select more particles",
        )
    _audit_doubles(stack)
    _audit_tubes(stack)
    _audit_optics(stack)
    audit_stacks(stack)
    if stack.box % 2 or stack.box < 16:
        raise BadDataError(
            f"a box of {stack.box} pixels; it must be even and at least 16",
            file=stack.source,
            fix="extract the particles again with an even box",
        )


def audit_stacks(stack: ParticleStack) -> None:
    """Whether the images can be read, from their files' headers.

    Raises
    ------
    BadDataError: a stack that is missing, truncated or of another box, an index beyond it.
    """
    lengths = np.zeros(len(stack.files), dtype=np.int64)
    for user in distinct_keys(stack.file_index)[0].tolist():
        lengths[stack.file_index[user]] = _audited_header(stack, user).shape[0]
    _audit_indices(stack, lengths)


@dataclass(frozen=True)
class StackFile:
    """A file of images as its header tells it; `used`: particles of the table in it.

    number_format: see `MrcHeader`.
    """

    path: Path
    images: int
    used: int
    box: int
    voxel_size_angstrom: float
    data_type: str
    number_format: str


def stack_files(stack: ParticleStack) -> list[StackFile]:
    """The files that hold the particles, from their headers; the table has passed the audit."""
    used = np.bincount(stack.file_index, minlength=len(stack.files))
    files = []
    for path, count in zip(stack.files, used.tolist(), strict=True):
        if count:
            header = read_header(path)
            images, box = header.shape[0], header.shape[2]
            voxel = header.voxel_size_angstrom[0]
            kind = header.dtype.name, header.number_format
            files.append(StackFile(path, images, count, box, voxel, *kind))
    return files


def particles_too_close(
    stack: ParticleStack, diameter_angstrom: float | None = None
) -> tuple[int, float] | None:
    """How many particles have another on their micrograph within half a diameter (a fifth of the
    box where that is not known), and that distance in Angstrom: the same molecule picked twice.
    None: no coordinates in the table."""
    distance = _TOO_CLOSE * stack.box * stack.pixel_size_angstrom
    if diameter_angstrom is not None:
        distance = 0.5 * diameter_angstrom
    pairs = close_pairs(stack, distance)
    return None if pairs is None else (len(np.unique(pairs)), distance)


def unread_in_words(stack: ParticleStack) -> list[str]:
    """A sentence for each kind of value that is no number and is not needed either."""
    return [
        f"not all {what} can be read: column {error.column}"
        + (f", row {error.row}" if error.row is not None else "")
        + f": {error.problem}; they are not needed here, and the table keeps them"
        for what, error in stack.unread.items()
    ]


def row_of(stack: ParticleStack, particle: int) -> int:
    """The row of the original table, counted from 1."""
    return int(stack.rows[particle]) + 1


def _audit_doubles(stack: ParticleStack) -> None:
    images = same_image(stack)
    double = np.flatnonzero(doubled(images))
    if len(double):
        same = np.flatnonzero(images == images[double[0]])
        raise BadDataError(
            f"image {stack.uids[same[1]]} is also in row {row_of(stack, int(same[0]))}"
            f" ({len(np.unique(images[double]))} such images in {len(double)} rows)",
            file=stack.source,
            row=row_of(stack, int(same[1])),
            column="rlnImageName",
            fix="remove duplicate rows; they would make half-maps depend on each other",
        )


def _audit_tubes(stack: ParticleStack) -> None:
    if stack.tubes is not None and (stack.tubes == stack.tubes[0]).all() and stack.tubes[0] >= 0:
        raise BadDataError(
            "all particles are segments of one helical tube, which cannot be divided into two"
            " independent half-sets",
            file=stack.source,
            column="rlnHelicalTubeID",
            fix="give segments of several tubes, or correct the column (filament/filament_uid)",
        )


def _audit_optics(stack: ParticleStack) -> None:
    for name, allowed in _CTF_RANGES.items():
        _audit_range(stack, getattr(stack.ctf, name).numpy(), allowed)
    sizes = np.array([optics.pixel_size_angstrom for optics in stack.optics])
    fix = "write it in Angstrom (RELION 3.0: from rlnDetectorPixelSize and rlnMagnification)"
    pixel = _Range("rlnImagePixelSize", "Angstrom", 0.1, 20.0, fix)
    _audit_range(stack, sizes[stack.optics_group], pixel)
    defocus = stack.ctf.defocus_u_angstrom.numpy()
    if 0 < np.abs(defocus).max() < 100:
        raise BadDataError(
            f"the largest defocus is {np.abs(defocus).max():g} Angstrom; is it in micrometres?",
            file=stack.source,
            row=row_of(stack, int(np.abs(defocus).argmax())),
            column="rlnDefocusU",
            fix=_DEFOCUS_FIX,
        )


def _audit_range(stack: ParticleStack, values: np.ndarray, allowed: _Range) -> None:
    # `not within` rather than `outside`, so that NaN is refused
    bad = np.flatnonzero(~((values >= allowed.lowest) & (values <= allowed.highest)))
    if len(bad):
        value = f"{values[bad[0]]:g} {allowed.unit}".strip()
        raise BadDataError(
            f"{value} is outside {allowed.lowest:g} to {allowed.highest:g}"
            f" ({len(bad)} of {len(values)} particles)",
            file=stack.source,
            row=row_of(stack, int(bad[0])),
            column=allowed.column,
            fix=allowed.fix,
        )


def _audited_header(stack: ParticleStack, user: int) -> MrcHeader:
    """The header of the file of a particle, present, complete and of the table's box."""
    path = stack.files[stack.file_index[user]]

    def refusal(problem: str, fix: str) -> BadDataError:
        row, column = row_of(stack, user), "rlnImageName"
        return BadDataError(problem, file=stack.source, row=row, column=column, fix=fix)

    if not os.path.exists(path):
        raise refusal(f"stack {path} does not exist", LOOKED_FOR)
    header = read_header(path)
    check_complete(header)
    if header.shape[1:] != (stack.box, stack.box):
        size = f"{header.shape[2]} x {header.shape[1]} pixels, not {stack.box} x {stack.box}"
        fix = "extract all particles with one square box (and correct rlnImageSize)"
        raise refusal(f"images of {path} are {size}", fix)
    return header


def _audit_indices(stack: ParticleStack, lengths: np.ndarray) -> None:
    beyond = np.flatnonzero(stack.slice_index >= lengths[stack.file_index])
    if len(beyond):
        first = int(beyond[0])
        file = int(stack.file_index[first])
        raise BadDataError(
            f"image {stack.slice_index[first] + 1} of {stack.files[file]},"
            f" which holds {lengths[file]} ({len(beyond)} such rows)",
            file=stack.source,
            row=row_of(stack, first),
            column="rlnImageName",
            fix="use the stack that belongs to this table; images are counted from 1",
        )
