"""A table of the same particles on fewer, larger pixels: what stays true, what changes, what goes.

Poses in Angstrom, CTFs, optics, micrographs and coordinates do not know of the box. Lengths in
pixels of the image do, and so does a name of another image of the same particle.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from cryospin.io.cryosparc_columns import ORIGINAL_NAME as CRYOSPARC_ORIGINAL_NAME
from cryospin.io.cryosparc_optics import ASSUMED as CRYOSPARC_ASSUMED
from cryospin.io.cryosparc_table import with_columns
from cryospin.io.formats import poses_for_others
from cryospin.io.image_files import image_uid, same_image, stack_of
from cryospin.io.losses import left_behind
from cryospin.io.relion import ORIGINAL_NAME, RelionTable, columns_of_rows, new_particles
from cryospin.io.relion_columns import RelionColumns
from cryospin.io.relion_optics import ASSUMED
from cryospin.io.rows import in_order_of_appearance
from cryospin.io.star import Columns, StarFile, quoted
from cryospin.io.tokens import Tokens
from cryospin.optics import Optics
from cryospin.types import ParticleStack

_SIZES = ("rlnImageSize", "rlnImageSizeX", "rlnImageSizeY")
_PIXEL_SIZES = ("rlnImagePixelSize", "rlnPixelSize")
_LENGTHS_IN_PIXELS = (
    *(f"rlnOrigin{axis}{prior}" for axis in "XYZ" for prior in ("", "Prior")),
    "rlnHelicalTrackLength",
)
_MAGNIFICATION = "rlnMagnification"
# other images of the particle in the old box, and statistics of the old pixels
_UNTRUE = (
    "rlnReconstructImageName",
    "rlnAverageValue",
    "rlnMinimumValue",
    "rlnMaximumValue",
    "rlnStandardDeviationValue",
    "rlnSkewnessValue",
    "rlnKurtosisExcessValue",
)
_CRYOSPARC_UNTRUE = ("blob/import_sig",)


def distinct_images(stack: ParticleStack) -> tuple[np.ndarray, np.ndarray]:
    """A particle (n',) of each image, in order of appearance, and each particle's image (n,)."""
    return in_order_of_appearance(same_image(stack))


def original_names(stack: ParticleStack) -> Sequence[str]:
    """What the particles' images were made from in the first place, if the table tells it of
    each image; else the images themselves."""
    named = stack.original_names
    if named is None:
        return stack.uids
    _, image = distinct_images(stack)
    one_to_one = len({*zip(image.tolist(), named, strict=True)}) == len({*named})
    return named if one_to_one and len({*named}) == image.max() + 1 else stack.uids


def new_stack_name(stack: ParticleStack, box: int) -> str:
    """Of a file that no image, old or original, can be taken to be in by its name."""
    names = {stack_of(name) or name for name in (*stack.uids, *(stack.original_names or ()))}
    taken = {re.sub(r"^\d{21}_", "", PurePosixPath(name).stem) for name in names}
    stem, count = f"particles_{box}", 1
    while stem in taken:
        count += 1
        stem = f"particles_{box}_{count}"
    return f"{stem}.mrcs"


def star_with_smaller_box(
    stack: ParticleStack, box: int, stack_name: str, image: np.ndarray
) -> StarFile:
    """The particles as images of `box` pixels in the file `stack_name`, `image` (n,) of them.

    In the dialect of the table where that is RELION's, with all its columns but those that
    `dropped` names; else in that of RELION 3.1.

    Raises
    ------
    BadDataError: a pose that is no number, of particles from another program's table.
    """
    names = [image_uid(number, stack_name) for number in image.tolist()]
    if isinstance(stack.table, RelionTable):
        return _relion(stack, box, names)
    scale = stack.box / box
    return new_particles(
        names,
        tuple(
            replace(
                optics,
                pixel_size_angstrom=optics.pixel_size_angstrom * scale,
                assumed_micrograph_pixel_size_angstrom=_assumed(stack, optics),
            )
            for optics in stack.optics
        ),
        box,
        stack.optics_group,
        stack.ctf,
        poses_for_others(stack),
        None if stack.micrographs is None else [str(name) for name in stack.micrographs],
        stack.coordinates_pixel,
        stack.half_set,
        [*original_names(stack)],
        stack.tubes,
        stack.classes,
    )


def _assumed(stack: ParticleStack, optics: Optics) -> float | None:
    """Coordinates count the pixels they did, whatever was assumed of them: see Optics."""
    if stack.coordinates_angstrom is None or optics.micrograph_pixel_size_angstrom:
        return None
    return optics.coordinate_pixel_size_angstrom


def dropped(stack: ParticleStack) -> list[str]:
    """The columns of the stack's table that `star_with_smaller_box` leaves out."""
    if isinstance(stack.table, RelionTable):
        return [name for name in _UNTRUE if name in stack.table.particles.table]
    return left_behind(stack)


def _relion(stack: ParticleStack, box: int, names: list[str]) -> StarFile:
    table: RelionTable = stack.table
    scale = stack.box / box
    particles = {
        "rlnImageName": [quoted(name) for name in names],
        ORIGINAL_NAME: [quoted(name) for name in original_names(stack)],
    }
    columns = columns_of_rows(stack)
    kept = {name: tokens for name, tokens in columns.items() if name not in _UNTRUE}
    whole = RelionColumns(table.path, table.particles, table.optics)
    scaled = _rescaled(whole, scale, box)
    changed = {name: Tokens.of(tokens)[stack.rows] for name, tokens in scaled.items()}
    # a name that the table has already stays in its place
    block = table.particles.with_table(kept | changed | particles)
    blocks = dict(table.star.blocks) | {table.name: block}
    if table.optics is not None:
        optics = RelionColumns(table.path, table.optics, None)
        of_groups = _rescaled(optics, scale, box)
        blocks["optics"] = table.optics.with_table({**table.optics.table, **of_groups})
    if ASSUMED not in whole.names and any(_assumed(stack, group) for group in stack.optics):
        last = "optics" if table.optics is not None else table.name
        assumed = [f"{stack.pixel_size_angstrom:.6f}"] * len(blocks[last])
        blocks[last] = blocks[last].with_table(blocks[last].table | {ASSUMED: assumed})
    return StarFile(blocks)


def _rescaled(columns: RelionColumns, scale: float, box: int) -> Columns:
    """Those columns of `columns.particles` that change with the box, for all of its rows."""
    there = columns.particles.table
    factors = dict.fromkeys(_PIXEL_SIZES, scale) | dict.fromkeys(_LENGTHS_IN_PIXELS, 1 / scale)
    if _tells_the_pixel_size(columns):
        factors[_MAGNIFICATION] = 1 / scale
    count = len(columns.particles)
    changed: dict[str, Sequence[str]] = {
        name: Tokens.repeated(str(box), count) for name in _SIZES if name in there
    }
    for name, factor in factors.items():
        if name in there:
            found = columns.values_of(name)
            assert found is not None
            # what is no number stays as it is
            changed[name] = [
                token if np.isnan(value) else f"{value:.6f}"
                for token, value in zip(there[name], found[0] * factor, strict=True)
            ]
    return changed


def _tells_the_pixel_size(columns: RelionColumns) -> bool:
    """Whether detector and magnification do, and not what was before some earlier binning."""
    if not {_MAGNIFICATION, "rlnDetectorPixelSize"} <= {*columns.particles.table}:
        return False
    implied = columns.implied_pixel_sizes()
    return implied is not None and np.allclose(implied, columns.pixel_sizes(), rtol=1e-3, atol=0)


def cs_with_smaller_box(
    stack: ParticleStack, box: int, stack_name: str, image: np.ndarray
) -> np.ndarray:
    """The same as rows of a `.cs` table, for a stack that came as one; uids stay."""
    scale = stack.box / box
    rows = stack.table.rows[stack.rows]
    n, names = len(rows), rows.dtype.names or ()
    changed = {
        "blob/path": np.full(n, stack_name.encode("utf-8")),
        "blob/idx": image,
        "blob/shape": np.full((n, 2), box),
        "blob/psize_A": rows["blob/psize_A"] * scale,
        # protein is written bright
        "blob/sign": np.full(n, -1.0, dtype="<f4"),
        CRYOSPARC_ORIGINAL_NAME: np.array([name.encode("utf-8") for name in original_names(stack)]),
    }
    assumed = np.array([_assumed(stack, optics) or 0.0 for optics in stack.optics])
    if CRYOSPARC_ASSUMED not in names and assumed.any():
        changed[CRYOSPARC_ASSUMED] = assumed[stack.optics_group].astype("<f4")
    for name in names:
        group, _, column = name.rpartition("/")
        # a shift counts in pixels of its own alignment, or else of the images
        if group.startswith("alignments") and column == "shift" and f"{group}/psize_A" not in names:
            changed[name] = rows[name] / scale
    kept = [name for name in names if name not in _CRYOSPARC_UNTRUE]
    return with_columns(np.ascontiguousarray(_only(rows, kept)), changed)


def _only(rows: np.ndarray, names: list[str]) -> np.ndarray:
    empty = np.empty(len(rows), dtype=np.dtype([]))
    return with_columns(empty, {name: rows[name] for name in names})
