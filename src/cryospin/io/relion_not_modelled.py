"""Which columns of a RELION table tell of the images what the forward model leaves out.

A column of neutral values (no tilt, unit scale) tells nothing and is not mentioned.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cryospin.io import costs
from cryospin.io.relion_columns import RelionColumns
from cryospin.io.relion_optics import MAGNIFICATION, TILT, ZERNIKE, zernike_vector
from cryospin.io.tokens import number
from cryospin.types import NotModelled

_HELICAL = (
    "rlnHelicalTubeID",
    "rlnHelicalTrackLength",
    "rlnHelicalTrackLengthAngst",
    "rlnHelicalTubePitch",
    "rlnAngleTiltPrior",
    "rlnAnglePsiPrior",
    "rlnAnglePsiFlipRatio",
)
# of particles of no tube: what an earlier search was held to
_PRIORS = (
    "rlnAngleRotPrior",
    "rlnAngleTiltPrior",
    "rlnAnglePsiPrior",
    *(f"rlnOrigin{axis}Prior{unit}" for axis in "XY" for unit in ("", "Angst")),
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


def not_modelled(columns: RelionColumns, pixel_size_angstrom: float) -> tuple[NotModelled, ...]:
    """What is in the table and nothing makes use of, with what that costs where it is known."""
    return tuple(_found(columns, 2.0 * pixel_size_angstrom))


def _found(columns: RelionColumns, nyquist: float) -> Iterator[NotModelled]:
    if not nyquist > 0:
        return  # nonsense, which the audit refuses
    for name in (*TILT, *MAGNIFICATION, *ZERNIKE):
        if unread := _unread(columns, name):
            cost = f"{unread} particles have no number there and are taken to have none"
            yield NotModelled((name,), "aberrations that are no numbers", cost)
    if (bfactor := _values(columns, ("rlnCtfBfactor",), (0.0,))) is not None:
        cost = costs.of_bfactor(bfactor, nyquist)
        yield NotModelled(("rlnCtfBfactor",), "B-factors of the particles", cost)
    if (scale := _values(columns, ("rlnCtfScalefactor",), (1.0,))) is not None:
        yield NotModelled(("rlnCtfScalefactor",), "scale of the particles", costs.of_scale(scale))
    if _values(columns, _HELICAL[:1], (0.0,)) is not None:
        yield NotModelled(_there(columns, _HELICAL), "helical geometry", costs.OF_HELICES)
    elif names := tuple(name for name in _PRIORS if _says_something(columns, name)):
        cost = "orientations and origins are searched without them"
        yield NotModelled(names, "priors of the poses", cost)
    if (mirrored := _values(columns, ("rlnIsFlip",), (0.0,))) is not None:
        cost = f"{int(mirrored.any(axis=1).sum())} images are taken as they are in the file"
        yield NotModelled(("rlnIsFlip",), "mirroring of images", cost)
    images = columns.tokens("rlnCtfImage")
    if images is not None and not images.are("", "None").all():
        cost = "the CTF is computed from defocus and optics"
        yield NotModelled(("rlnCtfImage",), "CTF from a file", cost)
    if names := tuple(name for name in _SUBTOMOGRAM if _says_something(columns, name)):
        cost = "images are taken for those of single particles"
        yield NotModelled(names, "geometry of subtomograms", cost)


def _unread(columns: RelionColumns, name: str) -> int:
    """How many particles have something in a column of aberrations that is no number."""
    tokens = columns.tokens(name)
    if tokens is None:
        return 0
    distinct, which = tokens.distinct()
    if name in ZERNIKE:
        bad = [zernike_vector(token) is None for token in distinct]
    else:
        bad = [np.isnan(number(token)) for token in distinct]
    return int(np.array(bad)[which].sum())


def _there(columns: RelionColumns, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name in columns.names)


def _says_something(columns: RelionColumns, name: str) -> bool:
    """Whether a column is there and is neither zero nor empty throughout."""
    tokens = columns.tokens(name)
    if tokens is None:
        return False
    # what is no number says something, too
    return bool(((tokens.numbers() != 0) & ~tokens.are("", "None")).any())


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
