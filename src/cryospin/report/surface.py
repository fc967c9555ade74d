"""Shaded pictures of a map's isosurface, without a graphics library or a window.

Lit from the upper left and darkened where little of the sky is seen (ambient occlusion),
which makes grooves and channels readable; coloured by the distance from the centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryospin.fourier.resize import resized
from cryospin.report.raycast import cast, empty_distance

# Maps are brought to this box before rays are cast: fine enough for trilinear surfaces to
# look smooth, coarse enough for a picture in some tenths of a second.
CAST_BOX = 128
# each pixel of a picture is the mean of 2 x 2 rays
SUPERSAMPLING = 2
SKY_RAYS = 18
CORE_COLOUR = np.array([0.95, 0.58, 0.24])
MIDDLE_COLOUR = np.array([0.86, 0.84, 0.80])
RIM_COLOUR = np.array([0.20, 0.48, 0.74])
LIGHT = np.array([-0.45, -0.60, -0.66])


def surface_level(values: np.ndarray) -> float:
    """A level that separates particle from surroundings (Otsu 1979, on positive values)."""
    positive = values[values > 0]
    if not positive.size:
        return float("inf")
    counts, edges = np.histogram(positive, bins=256, range=(0, np.quantile(positive, 0.9999)))
    centres = 0.5 * (edges[1:] + edges[:-1])
    below = np.cumsum(counts)
    above = below[-1] - below
    mass = np.cumsum(counts * centres)
    mean_below = mass / np.maximum(below, 1)
    mean_above = (mass[-1] - mass) / np.maximum(above, 1)
    return float(centres[np.argmax(below * above * (mean_above - mean_below) ** 2)])


def view_rotation(azimuth_degrees: float, elevation_degrees: float) -> np.ndarray:
    """R (3, 3) of a camera around the object's z axis, which points up in the picture."""
    azimuth, elevation = np.deg2rad([azimuth_degrees, elevation_degrees])
    level = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    away = -(np.cos(elevation) * level + np.array([0.0, 0.0, np.sin(elevation)]))
    down = np.sin(elevation) * level - np.array([0.0, 0.0, np.cos(elevation)])
    return np.stack([np.cross(down, away), down, away])


def upright(values: np.ndarray, level: float) -> np.ndarray:
    """Rotation (3, 3) to the principal axes of `values >= level`, the longest becoming z.

    Each axis points to the side of the longer tail, which makes the choice unique unless
    the particle is symmetric.
    """
    where = np.argwhere(values >= level)[:, ::-1].astype(np.float64)
    where -= where.mean(axis=0)
    axes = np.linalg.eigh(where.T @ where)[1].T
    tails = ((where @ axes.T) ** 3).sum(axis=0)
    axes[tails < 0] *= -1
    axes[0] = np.cross(axes[1], axes[2])
    return axes


def even_directions(count: int) -> np.ndarray:
    """(count, 3) unit vectors on a spiral of equal steps in z and in golden angles."""
    z = 1.0 - (2.0 * np.arange(count) + 1.0) / count
    azimuth = np.pi * (1.0 + np.sqrt(5.0)) * np.arange(count)
    radius = np.sqrt(1.0 - z**2)
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1)


@dataclass(frozen=True)
class Surface:
    """An isosurface ready to be pictured from any side.

    colour_radii: distances from the box centre, in voxels, of the first and last colour.
    """

    values: np.ndarray
    level: float
    distance: np.ndarray
    colour_radii: tuple[float, float]
    extent: float


def surface_of(values: np.ndarray) -> Surface | None:
    """The surface of a (d, d, d) map at its own level; None if the map has none."""
    values = resized(values, CAST_BOX)
    level = surface_level(values)
    solid = values >= level
    if not solid.any():
        return None
    distance = empty_distance(solid)
    # voxels just outside the solid ones stand for the surface
    where = np.argwhere(distance == 1) - CAST_BOX // 2
    radii = np.sqrt((where**2).sum(axis=1))
    near, far = np.quantile(radii, (0.1, 0.9))
    return Surface(values, level, distance, (float(near), float(far)), float(radii.max()))


def render_surface(surface: Surface, rotation: np.ndarray, pixels: int) -> np.ndarray:
    """An RGBA picture (pixels, pixels, 4) in [0, 1], cut to the surface's extent."""
    radius = min(surface.extent + 2.0, CAST_BOX / 2 - 1.0)
    fine = pixels * SUPERSAMPLING
    rays = cast(
        surface.values,
        surface.distance,
        surface.level,
        rotation,
        fine,
        radius,
        even_directions(SKY_RAYS),
    )
    hit = rays[..., 0] > 0
    colours = np.zeros((fine, fine, 3), np.float32)
    colours[hit] = shade(rays[hit], surface.colour_radii)
    coverage = binned(hit.astype(np.float32))[..., None]
    picture = np.clip(binned(colours) / np.maximum(coverage, 1e-6), 0.0, 1.0) ** (1 / 2.2)
    return np.concatenate([picture, coverage], axis=-1)


def binned(picture: np.ndarray) -> np.ndarray:
    """Means of SUPERSAMPLING x SUPERSAMPLING neighbours of the first two axes."""
    offsets = range(SUPERSAMPLING)
    parts = [picture[i::SUPERSAMPLING, j::SUPERSAMPLING] for i in offsets for j in offsets]
    return sum(parts[1:], start=parts[0]) / len(parts)


def shade(rays: np.ndarray, colour_radii: tuple[float, float]) -> np.ndarray:
    """Linear RGB (..., 3) of rays (..., 6) that hit, as `raycast.cast` gives them."""
    normal, openness, radius = rays[..., 1:4], rays[..., 4:5], rays[..., 5:6]
    light = LIGHT / np.linalg.norm(LIGHT)
    half_way = light + np.array([0.0, 0.0, -1.0])
    lambert = np.clip(normal @ light, 0.0, 1.0)[..., None]
    highlight = np.clip(normal @ (half_way / np.linalg.norm(half_way)), 0.0, 1.0)[..., None] ** 40
    near, far = colour_radii
    place = np.clip((radius - near) / max(far - near, 1e-6), 0.0, 1.0)
    inner = CORE_COLOUR + (MIDDLE_COLOUR - CORE_COLOUR) * np.clip(2 * place, 0, 1)
    colour = inner + (RIM_COLOUR - MIDDLE_COLOUR) * np.clip(2 * place - 1, 0, 1)
    lit = colour**2.2 * (0.55 * openness + 0.65 * lambert * (0.3 + 0.7 * openness))
    return lit + 0.08 * highlight * openness
