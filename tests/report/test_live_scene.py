"""Maps while they form: small, where they were, with the voxels that the page draws."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from matplotlib.image import imread

from cryospin.report.live_scene import MOST_VOXELS, scene_of, slices_of, small_volume


def ball(box: int, at: tuple[int, int, int] = (0, 0, 0), radius: float = 0.1) -> np.ndarray:
    """A soft ball of a radius in boxes, off the centre by x, y, z in hundredths of the box."""
    z, y, x = (np.indices((box,) * 3) - box // 2) / box
    distance = (x - at[0] / 100) ** 2 + (y - at[1] / 100) ** 2 + (z - at[2] / 100) ** 2
    return np.exp(-distance / (2 * radius**2)).astype(np.float32)


@pytest.mark.parametrize("box", [32, 64])
def test_it_is_small_and_shows_the_particle(box: int) -> None:
    volume = small_volume(ball(box), 200.0)
    size = volume["size"]
    assert volume["voxels"].shape == (size,) * 3 and size % 2 == 0
    assert size <= MOST_VOXELS and size * volume["voxel"] < 200.0
    assert 20.0 < volume["radius"] < 60.0
    # the surface goes through voxels that are shown
    assert volume["low"] < volume["level"] < volume["high"]
    near, far = volume["colour_radii"]
    assert 0 < near < far < volume["radius"]


def test_the_same_map_on_another_grid_lies_in_the_same_place() -> None:
    """A place in Angstrom from the centre, whatever the grid is."""
    centres = []
    for box in (32, 80):
        volume = small_volume(ball(box, at=(12, 0, -6), radius=0.06), 200.0)
        weights = volume["voxels"].astype(float) * (volume["voxels"] > 100)
        index = np.indices(weights.shape) - volume["size"] // 2
        centres.append((index * weights).sum(axis=(1, 2, 3)) / weights.sum() * volume["voxel"])
    np.testing.assert_allclose(centres[0], [-12, 0, 24], atol=1.5)
    np.testing.assert_allclose(centres[1], centres[0], atol=1.5)


def test_a_map_without_a_surface_has_no_level() -> None:
    assert small_volume(np.zeros((32, 32, 32)), 200.0)["level"] is None


def test_the_scene_is_json_with_the_same_voxels() -> None:
    volume = small_volume(ball(32), 200.0)
    scene = json.loads(json.dumps(scene_of(volume)))
    assert base64.b64decode(scene["bytes"]) == volume["voxels"].tobytes()
    assert len(json.dumps(scene)) < 100_000


def test_slices_are_central_with_the_second_axis_up() -> None:
    volume = small_volume(ball(32, at=(0, 10, 0), radius=0.05), 200.0)
    by_label = {each["label"]: each["uri"] for each in slices_of(volume)}
    picture = imread(io.BytesIO(base64.b64decode(by_label["z"].split(",")[1])))
    row, column = np.unravel_index(picture.argmax(), picture.shape)
    assert row < len(picture) / 2 and abs(column - len(picture) / 2) <= 1
