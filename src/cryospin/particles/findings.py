"""The whole audit as numbers for JSON and sentences for a reader.

Nothing is measured here: table, images, rings and contrast each have a module of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from cryospin.devices import AUTO, find_device, free_bytes
from cryospin.io.rows import distinct_keys
from cryospin.particles.audit import particles_too_close, row_of, stack_files, unread_in_words
from cryospin.particles.contrast import DARK, DISCS, UNCERTAIN, contrast_sign
from cryospin.particles.diameter import particle_size
from cryospin.particles.image_audit import ImageAudit, audit_images
from cryospin.particles.plan import card_plan, reconstruction_plan
from cryospin.particles.rejection import reasons_of
from cryospin.particles.thon_rings import (
    OTHER_FITS,
    SILENT,
    UNEXPLAINED,
    ThonRings,
    compare_thon_rings,
)
from cryospin.types import ParticleStack

_TOLD = 20  # bad images listed by name
_VOXEL_TOLERANCE = 0.01
_BACKGROUND_SPREAD = 0.5


def table_findings(stack: ParticleStack, cores: int) -> dict[str, Any]:
    """What table and headers say; the table has passed `audit_table`."""
    ctf, micrographs = stack.ctf, stack.micrographs
    defocus = 0.5 * (ctf.defocus_u_angstrom + ctf.defocus_v_angstrom)
    found = {
        "particles": len(stack),
        "box": stack.box,
        "pixel_size_angstrom": stack.pixel_size_angstrom,
        "box_angstrom": stack.box * stack.pixel_size_angstrom,
        "image_stacks": len(stack.files),
        "files": [asdict(file) | {"path": str(file.path)} for file in stack_files(stack)],
        "micrographs": None if micrographs is None else len(distinct_keys(micrographs)[0]),
        "optics_groups": [
            {
                "name": optics.name,
                "particles": int((stack.optics_group == number).sum()),
                "voltage_kv": optics.voltage_kv,
                "spherical_aberration_mm": optics.spherical_aberration_mm,
                "amplitude_contrast": optics.amplitude_contrast,
                "phase_flipped": optics.phase_flipped,
                "beam_tilt_mrad": optics.beam_tilt_mrad,
                "odd_zernike": optics.odd_zernike,
                "even_zernike": optics.even_zernike,
                "magnification_matrix": optics.magnification,
            }
            for number, optics in enumerate(stack.optics)
        ],
        "defocus_angstrom": _spread(defocus.double().numpy()),
        "astigmatism_angstrom": _spread(
            (ctf.defocus_u_angstrom - ctf.defocus_v_angstrom).abs().double().numpy()
        ),
        "coordinates": _coordinates(stack),
        "too_close": _picks_too_close(stack),
        "has_poses": stack.poses is not None,
        "has_half_sets": stack.half_set is not None,
        "helical_tubes": None
        if stack.tubes is None
        else len(np.unique(stack.tubes[stack.tubes >= 0])),
        "not_modelled": [asdict(each) for each in stack.not_modelled],
        "plan": asdict(reconstruction_plan(len(stack), stack.box, cores)),
        "card": _card(stack),
    }
    told = [str(each) for each in stack.not_modelled] + unread_in_words(stack)
    return found | {"warnings": _table_warnings(found) + told}


def _coordinates(stack: ParticleStack) -> dict[str, Any] | None:
    """How many particles have a place on their micrograph, and what its pixels are taken for."""
    if stack.coordinates_angstrom is None:
        return None
    used = [stack.optics[group] for group in np.unique(stack.optics_group)]
    sizes = {optics.micrograph_pixel_size_angstrom for optics in used}
    return {
        "particles": int(np.isfinite(stack.coordinates_angstrom).all(axis=1).sum()),
        "pixel_sizes_angstrom": sorted(size or stack.pixel_size_angstrom for size in sizes),
        "pixel_size_assumed": None in sizes,
    }


def image_findings(
    stack: ParticleStack, progress: Callable[[int, int], None]
) -> tuple[dict[str, Any], ImageAudit]:
    """What the pixels say, from one pass over them, and the pass's own record."""
    audit = audit_images(stack, progress)
    rings = compare_thon_rings(stack, audit.rings)
    contrast = contrast_sign(audit.rings)
    bad = reasons_of(stack, audit)
    sound = stack.select(np.setdiff1d(np.arange(len(stack)), audit.rejected))
    size = particle_size(sound, seed=0, max_shift_pixel=0.0) if len(sound) else None
    diameter = None if size is None else size.diameter_angstrom
    deviation = _spread(audit.background_deviation)
    found = {
        "bad_images": {
            "count": len(bad),
            "by_reason": {reason: len(index) for reason, index in audit.bad.items()},
            "first": [
                {"uid": stack.uids[i], "row": row_of(stack, i), "reason": reason}
                for i, reason in bad[:_TOLD]
            ],
        },
        "background_mean": _spread(audit.background_mean),
        "background_deviation": deviation,
        "ctf_fit": asdict(rings),
        "particle_diameter_angstrom": diameter,
        "too_close": _picks_too_close(stack, diameter),
        "contrast": asdict(contrast) | {"disc_radii": list(DISCS)},
    }
    warnings = ring_warnings(rings) + _contrast_warnings(contrast.protein)
    if bad:
        warnings.append(
            f"{len(bad)} bad images: reconstruct sets them aside in rejected.star"
            f" (first: {stack.uids[bad[0][0]]}, {bad[0][1]})"
        )
    if _uneven(deviation):
        warnings.append(
            "images differ much in their background's deviation: they were not normalised"
            " (reconstruct does that itself)"
        )
    return found | {"warnings": warnings}, audit


def _contrast_warnings(protein: str) -> list[str]:
    if protein == DARK:
        return ["protein is dark: reconstruct inverts the images unless --invert-contrast no"]
    if protein == UNCERTAIN:
        return [
            "the images do not tell whether protein is bright or dark: bright is assumed;"
            " if it is dark say reconstruct --invert-contrast yes"
        ]
    return []


def _spread(values: np.ndarray) -> dict[str, float | None]:
    known = values[np.isfinite(values)]
    if not len(known):
        return {"min": None, "median": None, "max": None}
    return {
        "min": float(known.min()),
        "median": float(np.median(known)),
        "max": float(known.max()),
    }


def _uneven(spread: dict[str, float | None]) -> bool:
    low, middle, high = (spread[name] for name in ("min", "median", "max"))
    if low is None or middle is None or high is None or middle <= 0:
        return False
    return (high - low) > _BACKGROUND_SPREAD * middle


def _table_warnings(found: dict[str, Any]) -> list[str]:
    warnings = []
    pixel = found["pixel_size_angstrom"]
    wrong = [
        file
        for file in found["files"]
        # many programs leave 0 or 1 in the header of a stack
        if file["voxel_size_angstrom"] not in (0.0, 1.0)
        and abs(file["voxel_size_angstrom"] - pixel) > _VOXEL_TOLERANCE * pixel
    ]
    if wrong:
        warnings.append(
            f"{wrong[0]['path']} says {wrong[0]['voxel_size_angstrom']:.4g} Angstrom per pixel,"
            f" the table {pixel:.4g} ({len(wrong)} such files)"
        )
    places = found["coordinates"]
    if places is not None and places["pixel_size_assumed"]:
        warnings.append(
            "the table does not tell the micrographs' pixel size, which coordinates are counted in:"
            f" {pixel:.4g} Angstrom is assumed, the images'. If the particles were binned, picks of"
            " one molecule pass for two (add rlnMicrographPixelSize to the optics table;"
            " .cs: location/micrograph_psize_A)"
        )
    return warnings


def _picks_too_close(
    stack: ParticleStack, diameter_angstrom: float | None = None
) -> dict[str, Any] | None:
    close = particles_too_close(stack, diameter_angstrom)
    return None if close is None else {"particles": close[0], "within_angstrom": close[1]}


def picks_warnings(found: dict[str, Any]) -> list[str]:
    """Of both findings together, for images tell how close two particles can be."""
    close = found["too_close"]
    if close is None or not close["particles"]:
        return []
    return [
        f"{close['particles']} particles lie within {close['within_angstrom']:.0f} Angstrom of"
        " another on their micrograph: one molecule picked twice"
    ]


def ring_warnings(rings: ThonRings) -> list[str]:
    """What the Thon rings hold against the data."""
    if rings.verdict == OTHER_FITS:
        return [
            f"the CTF does not fit the Thon rings (correlation {rings.correlation:.2f}, with a"
            f" defocus phase {rings.best_factor:.3g} times as large {rings.best_correlation:.2f}):"
            " it is as if the truth were " + ", or ".join(rings.explanations)
        ]
    if rings.verdict == UNEXPLAINED:
        return [
            f"the images have no Thon rings where the CTF says (correlation"
            f" {rings.correlation:.2f}): are the defocus values those of other particles?"
        ]
    if rings.verdict == SILENT:
        return [
            "the images do not tell whether the CTF is right: too little signal, or rings too"
            " wide for this pixel size"
        ]
    if rings.phase_flipped and rings.declared_flipped is False:
        return [
            "the images look phase-flipped (their mean follows |CTF|), and the table does not say"
            " so: set rlnCtfDataArePhaseFlipped to 1 if they are"
        ]
    if rings.phase_flipped is False and rings.declared_flipped:
        return [
            "the table says that the images are phase-flipped, and they do not look so (their mean"
            " follows the CTF): set rlnCtfDataArePhaseFlipped to 0 if they are not"
        ]
    return []


def _card(stack: ParticleStack) -> dict[str, Any] | None:
    """What a run on this machine's card will take of it; None where there is none that can."""
    device, told = find_device(AUTO)
    if device.type == "cpu":
        return None
    free = free_bytes(device)
    plan = card_plan(len(stack), stack.box, stack.box / 2, free)
    return {"told": told, "free_bytes": free, **asdict(plan)}
