"""Whether images can be related in pairs at all."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.errors import BadDataError, UsageError
from cryospin.particles.source import ParticleSource

FEWEST_IMAGES = 50


def check_images(particles: ParticleSource) -> None:
    """Raises BadDataError for fewer than 50 images, or images that are all the same one."""
    if len(particles) < FEWEST_IMAGES:
        raise BadDataError(
            f"{len(particles)} images: orientations from pairs need {FEWEST_IMAGES}",
            fix="give more particles, or use --recipe exhaustive",
        )
    images = particles.images().coefficients
    if bool(torch.isclose(images, images[:1], rtol=1e-4, atol=1e-6).all()):
        raise BadDataError(
            "all images are the same: a pair of them has every line in common",
            fix="give images of the particle from many sides",
        )


def check_asymmetric(operators: Float[Tensor, "s 3 3"]) -> None:
    """Raises UsageError for a point group: a pair of images then has several common lines."""
    if len(operators) > 1:
        raise UsageError(
            "orientations from pairs of images are for particles without symmetry: each pair of a "
            f"group of {len(operators)} shares as many lines, and none of them is the one\n"
            "  fix: --recipe exhaustive, or --symmetry C1 to try"
        )
