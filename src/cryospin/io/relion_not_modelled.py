"""Which columns of a RELION table tell of the images what the forward model leaves out.

A column of neutral values (no tilt, unit scale) tells nothing and is not mentioned.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cryospin.aberrations import beam_tilt_phase, even_zernike_phase, odd_zernike_phase
from cryospin.io import costs
from cryospin.io.relion_columns import RelionColumns
from cryospin.types import NotModelled

_TILT = ("rlnBeamTiltX", "rlnBeamTiltY")
_MAGNIFICATION = ("rlnMagMat00", "rlnMagMat01", "rlnMagMat10", "rlnMagMat11")
_ZERNIKE = {
    "rlnOddZernike": ("antisymmetrical aberrations (trefoil and higher)", odd_zernike_phase),
    "rlnEvenZernike": ("symmetrical aberrations (tetrafoil and higher)", even_zernike_phase),
}
_HELICAL = (
    "rlnHelicalTubeID",
    "rlnHelicalTrackLength",
    "rlnHelicalTrackLengthAngst",
    "rlnHelicalTubePitch",
    "rlnAngleTiltPrior",
    "rlnAnglePsiPrior",
    "rlnAnglePsiFlipRatio",
)
_SUBTOMOGRAM = (
    "rlnCoordinateZ",
    "rlnOriginZ",
    "rlnOriginZAngst",
    "rlnTomoParticleId",
    "rlnTomoParticleName",
    "rlnTomoSubtomogramRot",
    "rlnTomoSubtomogramTilt",
    "rlnTomoSubtomogramPsi",
    "rlnTomoVisibleFrames",
)


def not_modelled(
    columns: RelionColumns, box: int, pixel_size_angstrom: float
) -> tuple[NotModelled, ...]:
    """What is in the table and nothing makes use of, with what that costs where it is known."""
    return tuple(_found(columns, box * pixel_size_angstrom, 2.0 * pixel_size_angstrom))


def _found(columns: RelionColumns, width: float, nyquist: float) -> Iterator[NotModelled]:
    if not nyquist > 0:
        return  # nonsense, which the audit refuses
    disc = _disc(nyquist)
    if (tilt := _values(columns, _TILT, (0.0, 0.0))) is not None:
        worst = _worst_tilt_phase(columns, tilt, disc)
        yield NotModelled(_there(columns, _TILT), "beam tilt", costs.of_phases(worst, nyquist))
    for name, (what, phase) in _ZERNIKE.items():
        coefficients = [_vector(token) for token in {*(columns.tokens(name) or ())}]
        if any(any(vector) for vector in coefficients):
            worst = max(float(np.abs(phase(vector, disc)).max()) for vector in coefficients)
            yield NotModelled((name,), what, costs.of_phases(worst, nyquist))
    if (matrix := _values(columns, _MAGNIFICATION, (1.0, 0.0, 0.0, 1.0))) is not None:
        cost = costs.of_magnification(np.unique(matrix, axis=0).reshape(-1, 2, 2), width)
        yield NotModelled(_there(columns, _MAGNIFICATION), "anisotropic magnification", cost)
    if (bfactor := _values(columns, ("rlnCtfBfactor",), (0.0,))) is not None:
        cost = costs.of_bfactor(bfactor, nyquist)
        yield NotModelled(("rlnCtfBfactor",), "B-factors of the particles", cost)
    if (scale := _values(columns, ("rlnCtfScalefactor",), (1.0,))) is not None:
        yield NotModelled(("rlnCtfScalefactor",), "scale of the particles", costs.of_scale(scale))
    if _values(columns, _HELICAL[:1], (0.0,)) is not None:
        yield NotModelled(_there(columns, _HELICAL), "helical geometry", costs.OF_HELICES)
    if (mirrored := _values(columns, ("rlnIsFlip",), (0.0,))) is not None:
        cost = f"{int(mirrored.any(axis=1).sum())} images are taken as they are in the file"
        yield NotModelled(("rlnIsFlip",), "mirroring of images", cost)
    if any(token not in ("", "None") for token in columns.tokens("rlnCtfImage") or ()):
        cost = "the CTF is computed from defocus and optics"
        yield NotModelled(("rlnCtfImage",), "CTF from a file", cost)
    if names := tuple(name for name in _SUBTOMOGRAM if _says_something(columns, name)):
        cost = "images are taken for those of single particles"
        yield NotModelled(names, "geometry of subtomograms", cost)


def _worst_tilt_phase(columns: RelionColumns, tilt: np.ndarray, disc: np.ndarray) -> float:
    """In radians, of all particles within the disc."""
    cs, kv = columns.numbers("rlnSphericalAberration"), columns.numbers("rlnVoltage")
    assert cs is not None and kv is not None
    rows = np.unique(np.column_stack([tilt, cs, kv]), axis=0)
    # the phase grows with tilt and Cs; the wavelength differs by a factor of two at most
    rows = rows[np.argsort(np.hypot(rows[:, 0], rows[:, 1]) * rows[:, 2])[-100:]].tolist()
    return max(float(np.abs(beam_tilt_phase(r[:2], r[2], r[3], disc)).max()) for r in rows)


def _there(columns: RelionColumns, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if columns.tokens(name) is not None)


def _says_something(columns: RelionColumns, name: str) -> bool:
    """Whether a column is there and is neither zero nor empty throughout."""
    return any(
        token not in ("", "None") and _number(token) != 0 for token in columns.tokens(name) or ()
    )


def _values(
    columns: RelionColumns, names: tuple[str, ...], neutral: tuple[float, ...]
) -> np.ndarray | None:
    """(n, c), neutral where there is no number; None where all are neutral or not there."""
    if not _there(columns, names):
        return None
    values = np.empty((len(columns.particles), len(names)))
    for i, (name, value) in enumerate(zip(names, neutral, strict=True)):
        found = columns.known_numbers(name)
        values[:, i] = value if found is None else np.where(np.isfinite(found), found, value)
    return None if np.allclose(values, neutral, rtol=0, atol=1e-9) else values


def _vector(token: str) -> list[float]:
    """The numbers of `[0.1,-0.2]`; none where it is something else."""
    try:
        numbers = [float(part) for part in token.strip("[]").split(",")]
    except ValueError:
        return []
    return [number if np.isfinite(number) else 0.0 for number in numbers]


def _number(token: str) -> float:
    try:
        return float(token)
    except ValueError:
        return float("nan")


def _disc(nyquist: float) -> np.ndarray:
    """Frequencies (k, 2) in 1/Angstrom up to Nyquist, dense enough to find the largest phase."""
    radius, angle = np.meshgrid(np.linspace(0.1, 1.0, 10), np.arange(144) * np.pi / 72)
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return (radius[..., None] * unit).reshape(-1, 2) / nyquist
