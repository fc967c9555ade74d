"""Maps while they form, small enough to be handed to a page every few seconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from cryospin.fourier.resize import resized
from cryospin.report.png import grey_levels, png
from cryospin.report.scene import encoded
from cryospin.report.surface import surface_level

# a cube of this many voxels is some 60 kB of page
MOST_VOXELS = 40
# the particle with this much around it is shown
_MARGIN = 1.25


def small_volume(density: np.ndarray, field_angstrom: float) -> dict[str, Any]:
    """A map (g, g, g) as 8-bit voxels, and how the page's viewer shows it (live.js).

    `level` is None where the map has no surface.
    """
    box = min(len(density), MOST_VOXELS)
    values = resized(density, box) if len(density) > box else np.asarray(density, np.float32)
    level = surface_level(values)
    solid = values >= level
    radii = np.sqrt(((np.argwhere(solid) - box // 2) ** 2).sum(axis=1))
    extent = float(radii.max()) if len(radii) else box / 2
    half_width = min(box // 2, int(np.ceil(extent * _MARGIN)))
    inner = slice(box // 2 - half_width, box // 2 + half_width)
    middle = values[inner, inner, inner]
    low, high = (float(value) for value in np.quantile(middle, (0.001, 0.9999)))
    levels = np.round(255 * (middle - low) / max(high - low, 1e-20))
    voxel = field_angstrom / box
    near, far = np.quantile(radii, (0.3, 0.98)) if len(radii) else (0.0, 1.0)
    return {
        "size": 2 * half_width,
        "voxel": voxel,
        "low": low,
        "high": high,
        "level": level if len(radii) else None,
        "radius": (min(extent, half_width) + 1.5) * voxel,
        "colour_radii": [float(near) * voxel, float(far) * voxel],
        "voxels": np.clip(levels, 0, 255).astype(np.uint8),
    }


def scene_of(volume: dict[str, Any]) -> dict[str, Any]:
    """The same as JSON."""
    told = {name: value for name, value in volume.items() if name != "voxels"}
    return told | {"bytes": encoded(volume["voxels"])}


def slices_of(volume: dict[str, Any]) -> list[dict[str, str]]:
    """The central slices, normal to x, y and z, with the second axis up."""
    voxels = volume["voxels"].astype(np.float32)
    middle = len(voxels) // 2
    return [
        {"label": axis, "uri": png(grey_levels(np.take(voxels, middle, place)[::-1]))}
        for axis, place in (("x", 2), ("y", 1), ("z", 0))
    ]
