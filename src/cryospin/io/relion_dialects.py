"""RELION's two dialects into each other: 3.0 (one table) and 3.1 to 5 (with optics groups).

Every column stays as it is; what belongs to the optics changes its table, and origins their
unit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cryospin.io.relion_columns import RelionColumns
from cryospin.io.relion_optics import ASSUMED
from cryospin.io.star import Columns, StarBlock, StarFile
from cryospin.io.tokens import Tokens

# what 3.1 and later keep once per optics group
_OPTICS = (
    "rlnOpticsGroupName",
    "rlnVoltage",
    "rlnSphericalAberration",
    "rlnAmplitudeContrast",
    "rlnImagePixelSize",
    "rlnMicrographOriginalPixelSize",
    "rlnMicrographPixelSize",
    ASSUMED,
    "rlnImageSize",
    "rlnImageDimensionality",
    "rlnMtfFileName",
    "rlnCtfDataAreCtfPremultiplied",
    "rlnCtfDataArePhaseFlipped",
    "rlnBeamTiltX",
    "rlnBeamTiltY",
    "rlnOddZernike",
    "rlnEvenZernike",
    "rlnMagMat00",
    "rlnMagMat01",
    "rlnMagMat10",
    "rlnMagMat11",
)
# in pixels in 3.0, and their names in Angstrom
_ORIGINS = {
    "rlnOriginX": "rlnOriginXAngst",
    "rlnOriginY": "rlnOriginYAngst",
    "rlnOriginXPrior": "rlnOriginXPriorAngst",
    "rlnOriginYPrior": "rlnOriginYPriorAngst",
}
_DETECTOR, _MAGNIFICATION = "rlnDetectorPixelSize", "rlnMagnification"


def in_relion_30(star: StarFile, name: str, columns: RelionColumns, box: int) -> StarFile:
    """The 3.0 table of a 3.1 one; optics groups that no particle is in are left behind."""
    assert columns.optics is not None
    sizes = columns.pixel_sizes()
    table = dict(columns.particles.table)
    for label, tokens in columns.optics.table.items():
        table.setdefault(label, Tokens.of(tokens)[columns.optics_rows])
    # 3.0 asks the stacks for it; a table alone shall tell too
    table.setdefault("rlnImageSize", Tokens.repeated(str(box), len(sizes)))
    table = _with_origins(columns, table, {v: k for k, v in _ORIGINS.items()}, 1.0 / sizes)
    implied = columns.implied_pixel_sizes()
    if implied is None or not np.allclose(implied, sizes, rtol=1e-4, atol=0):
        # micrometres of the detector, at a magnification that makes them Angstrom
        table[_DETECTOR] = [f"{size:.6f}" for size in sizes]
        table[_MAGNIFICATION] = Tokens.repeated("10000.000000", len(sizes))
    others = {key: block for key, block in star.blocks.items() if key not in ("optics", name)}
    # the particles come first: RELION 3.0 reads the first block of a file
    return StarFile({name: columns.particles.with_table(table)} | others)


def in_relion_31(star: StarFile, name: str, columns: RelionColumns, box: int) -> StarFile:
    """The 3.1 table of a 3.0 one: an optics group for each distinct set of optics."""
    sizes = columns.pixel_sizes()
    table = dict(columns.particles.table)
    optics = {label: table.pop(label) for label in _OPTICS if label in table}
    optics.setdefault("rlnImagePixelSize", [f"{size:.6f}" for size in sizes])
    optics.setdefault("rlnImageSize", Tokens.repeated(str(box), len(sizes)))
    optics.setdefault("rlnImageDimensionality", Tokens.repeated("2", len(sizes)))
    numbers, first = _group_numbers([*zip(*optics.values(), strict=True)], table)
    table["rlnOpticsGroup"] = numbers
    groups = dict(zip(numbers, first, strict=True))
    order = sorted(groups, key=int)
    rows: dict[str, Sequence[str]] = {"rlnOpticsGroup": order}
    rows["rlnOpticsGroupName"] = [f"opticsGroup{number}" for number in order]
    rows |= {label: [tokens[groups[k]] for k in order] for label, tokens in optics.items()}
    table = _with_origins(columns, table, _ORIGINS, sizes)
    others = {key: block for key, block in star.blocks.items() if key != name}
    # RELION 3.1 looks for the particles by this name
    blocks = {"optics": StarBlock({}, rows), "particles": StarBlock({}, table)}
    return StarFile(blocks | others)


def _group_numbers(
    optics: list[tuple[str, ...]], table: Columns
) -> tuple[Sequence[str], list[int]]:
    """Each particle's group number, and the row (0-based) that stands for its optics.

    A column rlnOpticsGroup is kept if its groups are what the optics say.
    """
    first: dict[tuple[str, ...], int] = {}
    rows = [first.setdefault(key, row) for row, key in enumerate(optics)]
    given = table.get("rlnOpticsGroup")
    if given is not None and all(token.isascii() and token.isdigit() for token in given):
        stands: dict[str, int] = {}
        if all(stands.setdefault(g, r) == r for g, r in zip(given, rows, strict=True)):
            return given, rows
    counted = {row: str(number) for number, row in enumerate(first.values(), start=1)}
    return [counted[row] for row in rows], rows


def _with_origins(
    columns: RelionColumns, table: Columns, names: dict[str, str], factor: np.ndarray
) -> dict[str, Sequence[str]]:
    """The origins under their other names, in place; a stale twin in the other unit goes."""
    present = {old: new for old, new in names.items() if old in table}
    stale = {*present.values()}
    result: dict[str, Sequence[str]] = {}
    for name, tokens in table.items():
        if name in present:
            found = columns.values_of(name)
            assert found is not None
            # nine decimals: there and back again gives RELION's six; no number stays as it is
            result[present[name]] = [
                token if np.isnan(value) else f"{value:.9f}"
                for token, value in zip(tokens, found[0] * factor, strict=True)
            ]
        elif name not in stale:
            result[name] = tokens
    return result
