"""Before a run: bad particles out, with their reasons on disk, and the contrast's sign decided."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryospin.particles.contrast import DARK, contrast_sign, inverted
from cryospin.particles.findings import ring_warnings
from cryospin.particles.image_audit import audit_images
from cryospin.particles.rejection import sound_particles, write_rejected
from cryospin.particles.thon_rings import OTHER_FITS, UNEXPLAINED, compare_thon_rings
from cryospin.reconstruct.samples import REJECTED_SAMPLES, write_rejected_samples
from cryospin.types import ParticleStack

REJECTED = "rejected.star"


def screened(
    stack: ParticleStack,
    directory: Path,
    invert_contrast: str,
    allow_bad: bool,
    progress: Callable[[int, int], None],
) -> tuple[ParticleStack, dict[str, Any]]:
    """The stack to be reconstructed, and what was decided, for result.json.

    Writes `rejected.star` where particles are set aside, also when they are too many, and
    pictures of a few.

    Parameters
    ----------
    invert_contrast: "yes", "no", or "auto": only on strong evidence that protein is dark.

    Raises
    ------
    BadDataError: more than a tenth of the images is bad and `allow_bad` is not set.
    """
    audit = audit_images(stack, progress)
    rejected = write_rejected(directory / REJECTED, stack, audit)
    write_rejected_samples(directory / REJECTED_SAMPLES, stack, audit.bad)
    kept = sound_particles(stack, audit, allow_bad)
    contrast = contrast_sign(audit.rings)
    invert = invert_contrast == "yes" or (invert_contrast == "auto" and contrast.protein == DARK)
    rings = compare_thon_rings(stack, audit.rings)
    told = {
        "rejected": rejected,
        "rejected_by_reason": {reason: len(index) for reason, index in audit.bad.items()},
        "protein_looks": contrast.protein,
        "contrast_sigmas": [round(sigma, 2) for sigma in contrast.sigmas],
        "contrast_inverted": invert,
        "ctf": rings.verdict,
        "doubts": ring_warnings(rings) if rings.verdict in (OTHER_FITS, UNEXPLAINED) else [],
    }
    return inverted(kept) if invert else kept, told
