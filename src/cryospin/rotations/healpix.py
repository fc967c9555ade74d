"""HEALPix: equal-area directions on the sphere, in ring order.

Górski et al. 2005, ApJ 622:759, equations 2 to 9. Only pixel centres; neighbours and the
nested order are not needed, since grids of rotations are subdivided in rotations.grid.
"""

from __future__ import annotations

import numpy as np


def healpix_directions(nside: int) -> np.ndarray:
    """Unit vectors to the centres of the 12 nside^2 pixels, (12 nside^2, 3) float64 xyz.

    Neighbouring centres are about 58.6 / nside degrees apart.
    """
    if nside < 1:
        raise ValueError(f"nside must be at least 1, got {nside}")
    pixel = np.arange(12 * nside * nside)
    in_cap = 2 * nside * (nside - 1)
    ring = np.empty(len(pixel), dtype=np.int64)
    step = np.empty(len(pixel), dtype=np.int64)  # 1-based place within the ring

    north = pixel < in_cap
    south = pixel >= len(pixel) - in_cap
    belt = ~(north | south)
    ring[north], step[north] = _cap_ring(pixel[north])
    # the south cap is the north cap counted from the last pixel backwards
    mirrored, back = _cap_ring(len(pixel) - 1 - pixel[south])
    ring[south], step[south] = 4 * nside - mirrored, 4 * mirrored + 1 - back
    ring[belt] = (pixel[belt] - in_cap) // (4 * nside) + nside
    step[belt] = (pixel[belt] - in_cap) % (4 * nside) + 1

    cap_ring = np.where(north, ring, 4 * nside - ring)
    cap_z = 1.0 - cap_ring**2 / (3.0 * nside**2)
    belt_z = 4.0 / 3.0 - 2.0 * ring / (3.0 * nside)
    z = np.where(belt, belt_z, np.where(north, cap_z, -cap_z))
    # every other ring of the belt is turned by half a pixel
    belt_phi = np.pi / (2 * nside) * (step - 1 + 0.5 * ((ring - nside + 1) % 2))
    cap_phi = np.pi / (2 * np.maximum(cap_ring, 1)) * (step - 0.5)
    phi = np.where(belt, belt_phi, cap_phi)
    radius = np.sqrt((1.0 - z) * (1.0 + z))
    return np.stack([radius * np.cos(phi), radius * np.sin(phi), z], axis=1)


def _cap_ring(pixel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ring (from 1) and place in it (from 1) of pixels of the north cap: ring i holds 4i."""
    ring = ((1 + np.sqrt(1 + 2 * pixel)) // 2).astype(np.int64)
    return ring, pixel - 2 * ring * (ring - 1) + 1
