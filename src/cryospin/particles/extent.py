"""How large the particle is, from the images themselves."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.io.mrc import read_images
from cryospin.parallel import in_image_blocks
from cryospin.particles.draws import particle_keys
from cryospin.particles.prepare import normalise_background, radius_grid
from cryospin.types import ParticleStack

_SAMPLE, _BATCH = 2000, 200
_RIM_PIXEL = 4
_FAINTEST = 0.04  # of the strongest excess: what lies beyond is scattered light of the CTF


def particle_radius_pixel(stack: ParticleStack, seed: int) -> float:
    """Radius of the disc in which images vary more than their background does, in pixels.

    Shifts and the CTF's spread make it generous, which a support needs to be. Half the box
    where nothing stands out.
    """
    box = stack.box
    radius = radius_grid(box)
    background = radius > box // 2 - _RIM_PIXEL
    ring = radius.round().long().reshape(-1)
    keys = particle_keys(seed, stack.uids, "extent")
    chosen = np.sort(np.argsort(keys, kind="stable")[:_SAMPLE])

    def squares(rows: slice) -> Float[Tensor, "d d"]:
        images = normalise_background(read_images(stack, chosen[rows]), background)
        return images.double().square().sum(dim=0)

    power = torch.zeros(box, box, dtype=torch.float64)
    for part in in_image_blocks(squares, len(chosen), box, _BATCH):
        power += part
    total = torch.bincount(ring, weights=power.reshape(-1))
    profile = (total / torch.bincount(ring) / len(chosen))[: box // 2 - _RIM_PIXEL] - 1.0
    # rings near the centre are few pixels: the maximum is taken over averages of three
    smooth = torch.nn.functional.avg_pool1d(profile[None], 3, 1, 1, count_include_pad=False)[0]
    bright = torch.nonzero(smooth > _FAINTEST * smooth.max()).flatten()
    if smooth.max() <= 0 or len(bright) == 0:
        return box / 2
    return 1.2 * float(bright.max()) + 1.5
