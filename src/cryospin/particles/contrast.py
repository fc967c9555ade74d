"""Is protein bright or dark in these images? Told from the mean image, with its evidence.

Under a CTF with CTF(0) = +amplitude contrast an image of bright protein, multiplied by the
sign of its CTF, is bright where the particle is: every coefficient is then a positive
multiple of the projection's. A particle has more mass than the ice it displaced, so discs
about the box centre are brighter than what is around them, whatever the view. Images with
dark protein (as micrographs come) give the exact negative of this number.

A disc smaller than the hole of a hollow particle, and the halo of neighbours in a crowded
micrograph, can turn single discs' signs; hence four discs, which must agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from cryospin.particles.ring_sums import RingSums
from cryospin.types import ParticleStack

BRIGHT, DARK, UNCERTAIN = "bright", "dark", "uncertain"

DISCS = (0.5, 0.7, 0.85, 1.0)
"""Radii of the discs, of the particle's."""

_STRONG_SIGMAS = 8.0
_LEAST_IMAGES = 100
_RIM_SHARE = 0.9  # of half the box: beyond, the soft mask has eaten into the image
_FAINTEST = 0.04


@dataclass(frozen=True)
class Contrast:
    """The sign of the particle's density in the images.

    protein: BRIGHT, DARK, or UNCERTAIN where the discs disagree or too little is there.
    sigmas: of each disc in `DISCS`, its mean brightness above what is around it, over its
        standard error; positive for bright protein.
    share_bright: of single images, in the disc of half the radius.
    """

    protein: str
    sigmas: tuple[float, ...]
    share_bright: float
    images: int
    particle_radius_pixel: float


def contrast_sign(rings: RingSums) -> Contrast:
    """Judge by the radial profiles that `audit_images` kept of its sample."""
    profiles = rings.profiles.double()
    count, length = profiles.shape
    radius = _particle_radius(rings)
    if count < 2:
        return Contrast(UNCERTAIN, (0.0,) * len(DISCS), 0.5, count, radius)
    ring = torch.arange(length, dtype=torch.float64)
    area = ring.clamp_min(0.125)  # ring i covers 2 pi i pixels, the centre pi / 4
    last = int(_RIM_SHARE * length)
    sigmas = []
    share = 0.5
    for disc in DISCS:
        edge = int(np.clip(round(disc * radius / rings.profile_step_pixel), 1, last - 1))
        inside, outside = slice(0, edge + 1), slice(edge + 1, last + 1)
        values = _mean_over(profiles, area, inside) - _mean_over(profiles, area, outside)
        error = float(values.std()) / count**0.5
        sigmas.append(float(values.mean()) / max(error, 1e-30))
        if disc == DISCS[0]:
            share = float((values > 0).double().mean())
    strong = count >= _LEAST_IMAGES and min(map(abs, sigmas)) > _STRONG_SIGMAS
    protein = UNCERTAIN
    if strong and min(sigmas) > 0:
        protein = BRIGHT
    elif strong and max(sigmas) < 0:
        protein = DARK
    return Contrast(protein, tuple(sigmas), share, count, radius)


def inverted(stack: ParticleStack) -> ParticleStack:
    """The stack with its images' sign turned; the files and the table stay as they are."""
    sign = np.ones(len(stack)) if stack.image_sign is None else stack.image_sign
    return replace(stack, image_sign=-sign)


def _mean_over(profiles: torch.Tensor, area: torch.Tensor, rings: slice) -> torch.Tensor:
    return (profiles[:, rings] @ area[rings]) / area[rings].sum()


def _particle_radius(rings: RingSums) -> float:
    """Where images stop varying more than their background, in pixels; within the box."""
    profile = rings.variance_profile[:-4] - 1.0
    half = float(len(rings.variance_profile))
    smooth = torch.nn.functional.avg_pool1d(profile[None], 3, 1, 1, count_include_pad=False)[0]
    bright = torch.nonzero(smooth > _FAINTEST * smooth.max()).flatten()
    if float(smooth.max()) <= 0 or not len(bright):
        return 0.5 * half
    return min(1.2 * float(bright.max()) + 1.5, 0.8 * half)
