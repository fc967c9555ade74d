"""Pictures of a run: the map's surface, slices and projections, its half-maps, some particles."""

from __future__ import annotations

from typing import Any

import numpy as np

from cryospin.fourier.resize import resized
from cryospin.report.inputs import RunFiles
from cryospin.report.png import grey_levels, png
from cryospin.report.scene import sphere_scene, volume_scene
from cryospin.report.surface import (
    CAST_BOX,
    render_surface,
    surface_of,
    upright,
    view_rotation,
)

SURFACE_PIXELS = 288
# azimuth and elevation of the viewer, in degrees. Not 120 degrees apart: three-fold
# symmetry would show the same side three times.
VIEWS = {"from the side": (20, 12), "turned by 90°": (110, 12), "from above": (20, 90)}
# slices and projections show this much more than the particle, for its surroundings to judge
MARGIN = 1.25
# of a map: its name, and its place in an array [z, y, x]
AXES = (("x", 2), ("y", 1), ("z", 0))


def map_pictures(run: RunFiles) -> dict[str, Any] | None:
    """What the template shows of the maps; None without a map."""
    if run.map is None:
        return None
    surface = surface_of(run.map)
    half_width = CAST_BOX // 2
    pictures: dict[str, Any] = {"surfaces": []}
    if surface is not None:
        half_width = min(half_width, int(np.ceil(surface.extent * MARGIN)))
        pixel = float(run.result.get("pixel_size_angstrom", 1.0)) * run.map.shape[0] / CAST_BOX
        pictures["level"] = f"{surface.level:.3g}"
        pictures["extent"] = f"{2 * surface.extent * pixel:.0f}"
        # with symmetry imposed the map's own z axis means something; else nothing does
        imposed = run.result.get("symmetry", "C1") != "C1"
        frame = np.eye(3) if imposed else upright(surface.values, surface.level)
        views = {label: view_rotation(*angles) @ frame for label, angles in VIEWS.items()}
        pictures["surfaces"] = [
            {"label": label, "uri": png(render_surface(surface, rotation, SURFACE_PIXELS))}
            for label, rotation in views.items()
        ]
        field = pixel * CAST_BOX
        pictures["scene"] = {
            "first": next(iter(views)),
            "views": {label: rotation.ravel().tolist() for label, rotation in views.items()},
            "volume": volume_scene(surface, run.map, half_width, field),
            "sphere": None if run.poses is None else sphere_scene(run.poses.directions),
        }
        pictures["upright"] = "the z axis" if imposed else "its longest axis"
    values = surface.values if surface is not None else resized(run.map, CAST_BOX)
    pictures["groups"] = [
        {
            "id": "slices",
            "title": "Slices through the centre",
            "note": "Protein is bright.",
            "pictures": central_slices(values, half_width),
        },
        {
            "id": "projections",
            "title": "Projections",
            "note": "Sums along an axis: what a particle image would be without noise.",
            "pictures": [
                labelled(f"along {axis}", cut(values.sum(axis=place), half_width))
                for axis, place in AXES
            ],
        },
    ]
    return pictures


def central_slices(values: np.ndarray, half_width: int) -> list[dict[str, str]]:
    """The middle of each central slice of a map."""
    return [
        labelled(f"normal to {axis}", cut(np.take(values, len(values) // 2, place), half_width))
        for axis, place in AXES
    ]


def half_map_pictures(run: RunFiles) -> list[dict[str, str]]:
    """The central slices of both half-maps, on one scale of grey; empty without both."""
    if run.half1 is None or run.half2 is None:
        return []
    slices = [half[half.shape[0] // 2] for half in (run.half1, run.half2)]
    levels = grey_levels(np.concatenate(slices, axis=1))
    return [
        {"label": label, "uri": png(picture[::-1])}
        for label, picture in zip(("half 1", "half 2"), np.split(levels, 2, axis=1), strict=True)
    ]


def sample_pictures(run: RunFiles) -> list[dict[str, str]]:
    """Each sample particle and its reprojection, with their numbers."""
    if run.samples is None:
        return []
    kept = run.samples
    columns = ("name", "confidence", "correlation", "image", "reprojection")
    return [
        {
            "name": str(name),
            "told": f"confidence {confidence:.2f}, correlation {correlation:.2f}",
            "image": png(grey_levels(image)),
            "reprojection": png(grey_levels(reprojection)),
        }
        for name, confidence, correlation, image, reprojection in zip(
            *(kept[column] for column in columns), strict=True
        )
    ]


def rejected_pictures(kept: dict[str, np.ndarray] | None) -> list[dict[str, str]]:
    """A few of the particles set aside, each with its reason; what is not finite is black."""
    if kept is None:
        return []
    columns = (kept[column] for column in ("name", "reason", "image"))
    return [
        {"name": str(name), "label": str(reason), "uri": png(grey_levels(finite(image)))}
        for name, reason, image in zip(*columns, strict=True)
    ]


def finite(image: np.ndarray) -> np.ndarray:
    sound = np.isfinite(image)
    return np.where(sound, image, image[sound].min() if sound.any() else 0.0)


def labelled(label: str, picture: np.ndarray) -> dict[str, str]:
    return {"label": label, "uri": png(grey_levels(picture))}


def cut(picture: np.ndarray, half_width: int) -> np.ndarray:
    """The middle of a square picture, its rows turned so that the second axis points up."""
    centre = picture.shape[0] // 2
    inner = slice(max(0, centre - half_width), centre + half_width)
    return picture[inner, inner][::-1]
