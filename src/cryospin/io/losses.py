"""What a table of another program, or in another folder, will not tell of the particles."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cryospin.io.cryosparc import CryosparcTable
from cryospin.io.cryosparc_classes import MULTI
from cryospin.io.cryosparc_classes import NUMBER as CRYOSPARC_CLASS
from cryospin.io.cryosparc_columns import CONFIDENCE as CRYOSPARC_CONFIDENCE
from cryospin.io.cryosparc_columns import ORIGINAL_NAME as CRYOSPARC_ORIGINAL_NAME
from cryospin.io.cryosparc_columns import REQUIRED
from cryospin.io.cryosparc_optics import ASSUMED as CRYOSPARC_ASSUMED
from cryospin.io.formats import CRYODRGN, CRYOSPARC, format_of
from cryospin.io.image_files import misleading_name, names_for, out_of_reach, same_image
from cryospin.io.relion import ORIGINAL_NAME, RelionTable, takes_for_map
from cryospin.io.relion_classes import NUMBER, is_posterior
from cryospin.io.relion_optics import PHASE_FLIPPED
from cryospin.io.relion_picks import TUBE
from cryospin.io.relion_poses import ANGLES, CONFIDENCE, ORIGINS_ANGSTROM, ORIGINS_PIXEL
from cryospin.io.rows import doubled
from cryospin.types import ParticleStack

# what every program's table has a place for, as each names it
_RELION_COMMON = {
    "rlnImageName",
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnDefocusAngle",
    "rlnPhaseShift",
    "rlnVoltage",
    "rlnSphericalAberration",
    "rlnAmplitudeContrast",
    "rlnImagePixelSize",
    "rlnPixelSize",
    "rlnDetectorPixelSize",
    "rlnMagnification",
    "rlnImageSize",
    "rlnImageDimensionality",
    PHASE_FLIPPED,
    "rlnOpticsGroup",
    *ANGLES,
    *ORIGINS_ANGSTROM,
    *ORIGINS_PIXEL,
}
_ABERRATIONS = {
    "beam tilt": ("rlnBeamTiltX", "rlnBeamTiltY", "ctf/tilt_A"),
    "anisotropic magnification": (
        *(f"rlnMagMat{row}{column}" for row in "01" for column in "01"),
        "ctf/anisomag",
    ),
    "odd aberrations": ("rlnOddZernike",),
    "even aberrations": ("rlnEvenZernike",),
}
_FILAMENT = "filament/filament_uid"
# those that cryoSPARC has a place for, with the signs and units of io.conventions
_IN_BOTH = ("beam tilt", "anisotropic magnification")
_CRYOSPARC_COMMON = {
    *REQUIRED,
    "blob/sign",
    "ctf/phase_shift_rad",
    "ctf/exp_group_id",
    *(f"alignments3D/{name}" for name in ("pose", "shift", "psize_A")),
}
# what RELION and cryoSPARC can tell each other besides; cryoSPARC's places need the
# micrographs' sizes, which RELION's table does not have
_CARRIED = {name for what in _IN_BOTH for name in _ABERRATIONS[what]} | {TUBE, _FILAMENT}
_RELION_MORE = _CARRIED | {
    "rlnRandomSubset",
    "rlnMicrographName",
    CONFIDENCE,
    ORIGINAL_NAME,
    NUMBER,
}
_CRYOSPARC_MORE = _CARRIED | {
    "alignments3D/split",
    "location/micrograph_path",
    "location/center_x_frac",
    "location/center_y_frac",
    "location/micrograph_shape",
    "location/micrograph_psize_A",
    CRYOSPARC_ASSUMED,
    CRYOSPARC_CONFIDENCE,
    CRYOSPARC_ORIGINAL_NAME,
    CRYOSPARC_CLASS,
    "alignments3D/class",
    "alignments3D/class_posterior",
    f"{MULTI}/class",
    f"{MULTI}/class_posterior",
}


def losses(stack: ParticleStack, kind: str, out: Path) -> list[str]:
    """What of the particles a table `out` of format `kind` will not tell, in sentences."""
    own = format_of(stack).split("-")[0] == kind.split("-")[0]
    notes = []
    if kind != CRYODRGN:
        notes += _notes_on_names(stack, out, own=own, relion=kind != CRYOSPARC)
    if stack.image_sign is not None and kind != CRYOSPARC:
        notes.append(
            "images are dark on light (blob/sign 1), which this format cannot say: "
            "invert the images, or tell the program that reads the table"
        )
    if not own and stack.phase_flipped.any():
        notes.append(
            "images are phase-flipped (rlnCtfDataArePhaseFlipped), which this format cannot say: "
            "tell the program that reads the table, or extract them unflipped"
        )
    if kind == CRYODRGN and stack.half_set is not None:
        notes.append("cryoDRGN's files have no half-sets")
    if kind == CRYODRGN and stack.classes is not None:
        notes.append("cryoDRGN's files have no classes")
    repeated = int(np.count_nonzero(doubled(same_image(stack))))
    if repeated and kind == CRYOSPARC and not own:
        notes.append(
            f"{repeated} rows show an image that stands in another row too: each row is a particle "
            "of its own in cryoSPARC, with its own uid"
        )
    if not own:
        notes += _left_out(stack, bare=kind == CRYODRGN)
        notes += [
            f"{what} are left behind: column {error.column}, row {error.row}: {error.problem}"
            for what, error in stack.unread.items()
            if what != "poses"
        ]
    told = {column for each in stack.not_modelled for column in each.columns}
    told |= {name for names in _ABERRATIONS.values() for name in names}
    told |= {error.column for error in stack.unread.values() if error.column is not None}
    lost = [name for name in left_behind(stack, bare=kind == CRYODRGN) if name not in told]
    if lost and not own:
        note = "the other format has no place for these columns, which are left behind: "
        # of several rows of an image, no name tells which is which
        home = "" if repeated else "; --like INPUT gives them back on the way home"
        notes.append(note + ", ".join(lost) + home)
    return notes


def _left_out(stack: ParticleStack, *, bare: bool = False) -> list[str]:
    """What another program's new table will not tell of the optics and of what is not modelled, a
    sentence each, with the columns it stands in.

    Parameters
    ----------
    bare: see `left_behind`.
    """
    found = [(what, names) for what, names in _aberrations(stack) if bare or what not in _IN_BOTH]
    carried = set() if bare else _CARRIED
    found += [
        (each.what, [name for name in each.columns if name not in carried])
        for each in stack.not_modelled
    ]
    return [f"left behind: {what} ({', '.join(names)})" for what, names in found if names]


def not_in_the_ctf(stack: ParticleStack) -> list[str]:
    """What the stack's table says of its images' formation that defocus, voltage, Cs, amplitude
    contrast and phase shift do not: each with its columns."""
    found = _aberrations(stack)
    found += [
        (each.what, [*each.columns])
        for each in stack.not_modelled
        if any(name.startswith(("rlnCtf", "ctf/")) for name in each.columns)
    ]
    if stack.phase_flipped.any():
        found.append(("phase flips", [PHASE_FLIPPED]))
    return [f"{what} ({', '.join(names)})" for what, names in found]


def _aberrations(stack: ParticleStack) -> list[tuple[str, list[str]]]:
    """Those there are, each with the columns of the stack's own program that hold it."""
    optics, relion = stack.optics, isinstance(stack.table, RelionTable)
    there = {
        "beam tilt": any(any(group.beam_tilt_mrad) for group in optics),
        "anisotropic magnification": not all(group.round for group in optics),
        "odd aberrations": any(group.odd_zernike for group in optics),
        "even aberrations": any(group.even_zernike for group in optics),
    }
    return [
        (what, [name for name in _ABERRATIONS[what] if name.startswith("rln") == relion])
        for what, is_there in there.items()
        if is_there
    ]


def left_behind(stack: ParticleStack, *, bare: bool = False) -> list[str]:
    """The columns of the stack's table that another program's new table has no place for.

    A cryoSPARC column of zeros is not named.

    Parameters
    ----------
    bare: that table is cryoDRGN's, which knows of CTF and pose alone.
    """
    if isinstance(stack.table, RelionTable):
        names = [*stack.table.particles.table]
        names += [] if stack.table.optics is None else stack.table.optics.table
        known = _RELION_COMMON if bare else _RELION_COMMON | _RELION_MORE
    elif isinstance(stack.table, CryosparcTable):
        # what jobs fill in with zeros tells nothing
        table = stack.table.rows
        names = [name for name in table.dtype.names or () if table[name].any()]
        known = _CRYOSPARC_COMMON if bare else _CRYOSPARC_COMMON | _CRYOSPARC_MORE
    else:
        return []
    carried = known if bare else known | {*filter(is_posterior, names)}
    return [name for name in dict.fromkeys(names) if name not in carried]


def _notes_on_names(stack: ParticleStack, out: Path, *, own: bool, relion: bool) -> list[str]:
    """How the stacks are named in a table `out`, where that wants saying.

    Parameters
    ----------
    own: the table is of the program whose table the particles came from.
    relion: it is RELION's.
    """
    notes = []
    if own and (lost := out_of_reach(stack, out)):
        notes.append(f"paths are kept as they are, and {lost} is not found from {out.parent}")
    if misleading := misleading_name(stack, out):
        notes.append(
            f"from {out.parent}, {misleading} would be another file: "
            "such stacks are named by their absolute path"
        )
    if relion and not own and any(map(takes_for_map, {*names_for(stack, out)})):
        notes.append(
            "RELION takes a stack that ends in .mrc for a map: "
            "such stacks are named stack.mrc:mrcs, which it reads as images"
        )
    if relion and own:
        tokens = stack.table.particles.table["rlnImageName"]
        if strange := next((name for name in tokens if "@" in name and takes_for_map(name)), None):
            notes.append(f"RELION takes {strange} for a map: let it be {strange}:mrcs")
    return notes
