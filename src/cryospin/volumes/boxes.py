"""Maps in another box: cut out or padded with zeros, and mirrored to the other hand.

No value is interpolated here; other voxel sizes are volumes.resample's.
"""

from __future__ import annotations

import torch

from cryospin.errors import BadDataError
from cryospin.types import DensityMap


def cropped(density: DensityMap, box: int) -> DensityMap:
    """The middle of a map, centre on centre, or the map in a larger box of zeros.

    Raises BadDataError for an odd box or one below 4.
    """
    if box % 2 or box < 4:
        raise BadDataError(f"a box of {box} voxels", fix="give an even box of at least 4")
    old, common = density.box, min(density.box, box)
    source, target = old // 2 - common // 2, box // 2 - common // 2
    values = density.values.new_zeros(box, box, box)
    inner = (slice(target, target + common),) * 3
    values[inner] = density.values[(slice(source, source + common),) * 3]
    return DensityMap(values, density.pixel_size_angstrom)


def mirrored(density: DensityMap) -> DensityMap:
    """V(M x), M = diag(1, 1, -1): the other hand, its own inverse.

    z -> -z about the centre d // 2, so plane 0 of an even box, which has no mate, stays: the
    box is periodic, and there -d/2 is d/2.
    """
    flipped = torch.flip(density.values, dims=(0,))
    if density.box % 2 == 0:
        flipped = torch.roll(flipped, 1, dims=0)
    return DensityMap(flipped.contiguous(), density.pixel_size_angstrom)
