"""Casting parallel rays onto an isosurface, compiled: what a ray hits and how it is lit.

Colours and views are in report.surface. Voxel coordinates (x, y, z) are those of
`volume[z, y, x]`.
"""

from __future__ import annotations

import math

import numba
import numpy as np

STEP = 1.0
# ambient occlusion looks this far, in voxels, for what hides the sky
SKY_REACH = 16.0
# rays leap over at most this many empty voxels
LEAP = 5


def empty_distance(solid: np.ndarray) -> np.ndarray:
    """Chessboard distance (uint8, at most LEAP) of each voxel to the nearest solid one."""
    distance = np.zeros(solid.shape, np.uint8)
    reached = solid.copy()
    for _ in range(LEAP):
        distance += ~reached
        for axis in range(3):
            lines = np.moveaxis(reached, axis, 0)
            grown = lines.copy()
            grown[1:] |= lines[:-1]
            grown[:-1] |= lines[1:]
            lines[...] = grown
    return distance


@numba.njit(cache=True, fastmath=True)
def _empty(distance: np.ndarray, x: float, y: float, z: float) -> float:
    """How far around a point there is no solid voxel; beyond the box counts as far."""
    i, j, k = int(x + 0.5), int(y + 0.5), int(z + 0.5)
    size = distance.shape[0]
    if min(i, j, k) < 0 or max(i, j, k) >= size:
        return LEAP
    return float(distance[k, j, i])


@numba.njit(cache=True, fastmath=True)
def _value(volume: np.ndarray, x: float, y: float, z: float) -> float:
    """Trilinear interpolation; 0 outside."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    last = volume.shape[0] - 1
    if min(i, j, k) < 0 or max(i, j, k) >= last:
        return 0.0
    u, v, w = x - i, y - j, z - k
    total = 0.0
    for c in range(2):
        for b in range(2):
            line = volume[k + c, j + b, i] * (1 - u) + volume[k + c, j + b, i + 1] * u
            total += line * (v if b else 1 - v) * (w if c else 1 - w)
    return total


@numba.njit(cache=True, fastmath=True)
def _first_hit(
    volume: np.ndarray,
    distance: np.ndarray,
    level: float,
    start: tuple[float, float, float],
    away: tuple[float, float, float],
    length: float,
) -> float:
    """How far along the ray it first rises through `level`; -1 if it never does."""
    before = 0.0
    along = 0.0
    while along < length:
        x, y, z = start[0] + along * away[0], start[1] + along * away[1], start[2] + along * away[2]
        # the interpolation looks one voxel around, and the nearest voxel is half a voxel off
        leap = _empty(distance, x, y, z) - 1.5
        if leap > STEP:
            before = 0.0
            along += leap
            continue
        here = _value(volume, x, y, z)
        if here >= level:
            return along - STEP * (here - level) / max(here - before, 1e-20)
        before = here
        along += STEP
    return -1.0


@numba.njit(cache=True, fastmath=True)
def _outward(volume: np.ndarray, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Unit normal of the surface, pointing to lower density."""
    gx = _value(volume, x - 1, y, z) - _value(volume, x + 1, y, z)
    gy = _value(volume, x, y - 1, z) - _value(volume, x, y + 1, z)
    gz = _value(volume, x, y, z - 1) - _value(volume, x, y, z + 1)
    length = math.sqrt(gx * gx + gy * gy + gz * gz) + 1e-20
    return gx / length, gy / length, gz / length


@numba.njit(cache=True, fastmath=True)
def _openness(
    distance: np.ndarray,
    point: tuple[float, float, float],
    normal: tuple[float, float, float],
    sky: np.ndarray,
) -> float:
    """Share of the sky seen from `point`, weighted by the cosine to `normal`."""
    seen, whole = 0.0, 1e-9
    for number in range(len(sky)):
        ray = (sky[number, 0], sky[number, 1], sky[number, 2])
        slope = ray[0] * normal[0] + ray[1] * normal[1] + ray[2] * normal[2]
        if slope <= 0.05:
            continue
        reach = 2.0
        while reach < SKY_REACH:
            empty = _empty(
                distance,
                point[0] + reach * ray[0],
                point[1] + reach * ray[1],
                point[2] + reach * ray[2],
            )
            if empty == 0.0:
                break
            reach += max(STEP, empty - 0.5)
        whole += slope
        # what hides the sky from afar darkens less than what is near
        seen += slope * min(1.0, reach / SKY_REACH) ** 2
    return seen / whole


@numba.njit(cache=True, fastmath=True, nogil=True, parallel=True)
def cast(
    volume: np.ndarray,
    distance: np.ndarray,
    level: float,
    rotation: np.ndarray,
    pixels: int,
    radius: float,
    sky: np.ndarray,
) -> np.ndarray:
    """Per pixel (rows, columns, 6): hit 0 or 1, normal in view axes, openness, radius.

    distance: `empty_distance(volume >= level)`.
    rotation: `x_view = R x_object`. A picture has view x to the right and view y *down*,
        and rays run along view +z, away from the viewer: right-handed, so that a picture
        shows the map's own hand.
    radius: of the sphere around the box centre that is pictured, in voxels.
    sky: (rays, 3) unit vectors, evenly spread.
    """
    centre = volume.shape[0] // 2
    picture = np.zeros((pixels, pixels, 6), np.float32)
    right, down = rotation[0], rotation[1]
    # points are tuples: small arrays made at every pixel took longer than the rays
    away = (rotation[2, 0], rotation[2, 1], rotation[2, 2])
    for row in numba.prange(pixels):
        for column in range(pixels):
            u = (2.0 * (column + 0.5) / pixels - 1.0) * radius
            v = (2.0 * (row + 0.5) / pixels - 1.0) * radius
            if u * u + v * v >= radius * radius:
                continue
            half = math.sqrt(radius * radius - u * u - v * v)
            start = (
                centre + u * right[0] + v * down[0] - half * away[0],
                centre + u * right[1] + v * down[1] - half * away[1],
                centre + u * right[2] + v * down[2] - half * away[2],
            )
            along = _first_hit(volume, distance, level, start, away, 2.0 * half)
            if along < 0.0:
                continue
            x, y, z = (
                start[0] + along * away[0],
                start[1] + along * away[1],
                start[2] + along * away[2],
            )
            normal = _outward(volume, x, y, z)
            picture[row, column, 0] = 1.0
            for axis in range(3):
                picture[row, column, 1 + axis] = (
                    normal[0] * rotation[axis, 0]
                    + normal[1] * rotation[axis, 1]
                    + normal[2] * rotation[axis, 2]
                )
            picture[row, column, 4] = _openness(distance, (x, y, z), normal, sky)
            picture[row, column, 5] = math.sqrt(
                (x - centre) ** 2 + (y - centre) ** 2 + (z - centre) ** 2
            )
    return picture
