"""Pictures of classes side by side, and of what one map has beyond another."""

from __future__ import annotations

from typing import Any

import numpy as np

from cryospin.fourier.resize import resized
from cryospin.report.pictures import AXES, MARGIN, SURFACE_PIXELS, VIEWS, central_slices, cut
from cryospin.report.png import png
from cryospin.report.surface import (
    CAST_BOX,
    render_surface,
    surface_level,
    surface_of,
    upright,
    view_rotation,
)

# of what a class has and the first lacks, and of what it lacks
MORE, LESS = np.array([0.17, 0.40, 0.68]), np.array([0.87, 0.51, 0.19])


def shown_from(
    maps: list[np.ndarray | None], in_one_frame: list[bool], symmetry: str
) -> list[np.ndarray | None]:
    """The frame (3, 3) in which each map is shown upright; None without a map.

    in_one_frame: which of them lie in the frame of the first: these are shown from the same side.
    """
    if symmetry not in ("C1", "auto"):
        return [None if each is None else np.eye(3) for each in maps]
    own = [None if each is None else _upright(each) for each in maps]
    return [
        own[0] if shared and each is not None else each
        for each, shared in zip(own, in_one_frame, strict=True)
    ]


def _upright(density: np.ndarray) -> np.ndarray:
    values = resized(density, CAST_BOX)
    level = surface_level(values)
    return upright(values, level) if (values >= level).any() else np.eye(3)


def class_pictures(density: np.ndarray, frame: np.ndarray | None) -> dict[str, Any]:
    """The surface from the side, None where the map has none, and central slices."""
    surface = surface_of(density)
    if surface is None:
        return {"surface": None, "slices": central_slices(density, len(density) // 2)}
    first = next(iter(VIEWS.values()))
    rotation = view_rotation(*first) @ (np.eye(3) if frame is None else frame)
    half_width = min(CAST_BOX // 2, int(np.ceil(surface.extent * MARGIN)))
    return {
        "surface": png(render_surface(surface, rotation, SURFACE_PIXELS)),
        "slices": central_slices(surface.values, half_width),
    }


def difference_pictures(difference: np.ndarray) -> list[dict[str, str]]:
    """Sums of a difference map along each axis, on one scale; empty where there is none."""
    sums = [difference.sum(axis=place) for _, place in AXES]
    largest = max(float(np.quantile(np.abs(each), 0.998)) for each in sums)
    if not largest > 0:
        return []
    half_width = len(difference) // 2
    return [
        {"label": f"along {axis}", "uri": png(two_coloured(cut(each, half_width) / largest))}
        for (axis, _), each in zip(AXES, sums, strict=True)
    ]


def two_coloured(values: np.ndarray) -> np.ndarray:
    """An RGBA picture (rows, columns, 4) of values in [-1, 1]: the nearer to 0, the fainter."""
    colours = np.where(values[..., None] > 0, MORE, LESS)
    return np.concatenate([colours, np.clip(np.abs(values), 0, 1)[..., None]], axis=-1)
