"""What the browser is given to draw."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from cryospin.report.scene import COLUMNS, MOST_VOXELS, ROWS, sphere_scene, volume_scene
from cryospin.report.surface import CAST_BOX, even_directions, surface_of

BOX, FIELD = 64, 200.0


def levels_of(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8)


@pytest.mark.parametrize("half_width", [20, 48, 64])
def test_the_volume_is_the_map(half_width: int) -> None:
    """A Gaussian off the centre, known in closed form at every voxel sent."""

    def density(z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.exp(-((x - 20) ** 2 + (y + 10) ** 2 + z**2) / (2 * 20.0**2))

    values = density(*((np.indices((BOX,) * 3) - BOX // 2) * FIELD / BOX)).astype(np.float32)
    surface = surface_of(values)
    assert surface is not None
    scene = volume_scene(surface, values, half_width, FIELD)
    n = scene["size"]
    assert n <= MOST_VOXELS
    # the same width, to the voxel that rounding may cost
    width = 2 * half_width * FIELD / CAST_BOX
    assert n * scene["voxel"] == pytest.approx(width, abs=2 * scene["voxel"])
    sent = levels_of(scene["bytes"]).reshape(n, n, n) / 255.0
    sent = scene["low"] + sent * (scene["high"] - scene["low"])
    truth = density(*((np.indices((n,) * 3) - n // 2) * scene["voxel"]))
    # half a level, and the brightest 0.01 %, which are cut off
    step = 0.5 * (scene["high"] - scene["low"]) / 255.0
    inside = (truth > scene["low"]) & (truth < scene["high"])
    assert np.abs(sent - truth)[inside].max() < step + 1e-3
    assert scene["low"] < 0.25 * scene["level"] < scene["level"] < scene["high"]


def test_even_views_are_even() -> None:
    scene = sphere_scene(even_directions(20_000))
    ratio = levels_of(scene["bytes"]) / 255.0 * scene["most"]
    assert len(ratio) == ROWS * COLUMNS
    # 25 views are counted per vertex, on a regular grid of them
    np.testing.assert_allclose(ratio, 1.0, atol=0.25)


@pytest.mark.parametrize("direction", [(0, 0, 1), (0, 0, -1), (1, 0, 0), (0, -1, 0)])
def test_views_are_shown_where_they_are(direction: tuple[int, int, int]) -> None:
    scene = sphere_scene(np.tile(np.array(direction, float), (500, 1)))
    levels = levels_of(scene["bytes"]).reshape(ROWS, COLUMNS)
    row, column = np.unravel_index(levels.argmax(), levels.shape)
    tilt, turn = np.pi * row / (ROWS - 1), 2 * np.pi * column / COLUMNS
    # as panels.js places them
    where = [np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)]
    assert np.dot(where, direction) > np.cos(np.deg2rad(scene["cap_degrees"] + 2))
    # there are as many vertices in the rows at the poles as in the others
    assert (levels[5:-5] == 0).mean() > 0.95
