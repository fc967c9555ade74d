"""What the page's interactive viewer draws: the map as bytes, and how often each view occurs.

The browser makes the surface itself (isosurface.js), so that the contour level can be moved.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from cryospin.fourier.resize import resized
from cryospin.report.surface import CAST_BOX, Surface

# a cube of this many voxels is a surface of some 50,000 triangles and 1.2 MB of page
MOST_VOXELS = 96
# vertices of the sphere of view directions, from pole to pole and around
ROWS, COLUMNS = 46, 90
# views are counted in caps that hold this many when they are evenly spread
VIEWS_PER_CAP = 25
CAP_DEGREES = (6.0, 20.0)


def volume_scene(
    surface: Surface, values: np.ndarray, half_width: int, field_angstrom: float
) -> dict[str, Any]:
    """The middle of a map as 8-bit voxels, and the levels to contour it at.

    Parameters
    ----------
    values: the map (d, d, d) that `surface` is of, `field_angstrom` wide.
    half_width: of what is shown, in voxels of CAST_BOX.
    """
    box, middle = CAST_BOX, surface.values
    if 2 * half_width > MOST_VOXELS:
        box = 2 * (CAST_BOX * MOST_VOXELS // (4 * half_width))
        middle = resized(values, box)
        half_width = min(MOST_VOXELS, box) // 2
    inner = slice(box // 2 - half_width, box // 2 + half_width)
    middle = middle[inner, inner, inner]
    low, high = (float(value) for value in np.quantile(middle, (0.001, 0.9999)))
    levels = np.clip(np.round(255 * (middle - low) / (high - low)), 0, 255).astype(np.uint8)
    grey = [float(255 * (q - low) / (high - low)) for q in np.quantile(middle, (0.005, 0.998))]
    angstrom = field_angstrom / CAST_BOX
    return {
        "size": 2 * half_width,
        "voxel": field_angstrom / box,
        "low": low,
        "high": high,
        "grey": grey,
        "sigma": float(values.std()),
        "level": surface.level,
        "radius": (surface.extent + 2.0) * angstrom,
        "colour_radii": [radius * angstrom for radius in surface.colour_radii],
        "bytes": encoded(levels),
    }


def sphere_scene(directions: np.ndarray) -> dict[str, Any]:
    """How often the particle was seen along each vertex of a sphere, relative to an even spread.

    directions: (n, 3) unit vectors. Vertices run from pole to pole, COLUMNS around the z axis in
    each of ROWS rows; 255 stands for the ratio `most`.
    """
    tilt = np.linspace(0, np.pi, ROWS)[:, None]
    turn = 2 * np.pi * np.arange(COLUMNS) / COLUMNS
    across = np.sin(tilt)
    vertices = np.stack(
        np.broadcast_arrays(across * np.cos(turn), across * np.sin(turn), np.cos(tilt)), axis=-1
    )
    # a cap of angle a covers (1 - cos a) / 2 of the sphere
    wanted = np.arccos(max(-1.0, 1 - 2 * VIEWS_PER_CAP / max(len(directions), 1)))
    cap = np.clip(wanted, *np.deg2rad(CAP_DEGREES))
    near = cKDTree(directions).query_ball_point(
        vertices.reshape(-1, 3), 2 * np.sin(cap / 2), return_length=True
    )
    ratio = near / (0.5 * (1 - np.cos(cap)) * max(len(directions), 1))
    most = max(2.0, float(np.quantile(ratio, 0.99)))
    levels = np.clip(np.round(255 * ratio / most), 0, 255).astype(np.uint8)
    return {
        "rows": ROWS,
        "columns": COLUMNS,
        "most": most,
        "cap_degrees": float(np.rad2deg(cap)),
        "bytes": encoded(levels),
    }


def encoded(levels: np.ndarray) -> str:
    return base64.b64encode(levels.tobytes()).decode("ascii")
