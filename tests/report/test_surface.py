"""Pictures of surfaces: geometry and hand against shapes known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_cdt

from cryospin.fourier.resize import resized
from cryospin.report.raycast import LEAP, cast, empty_distance
from cryospin.report.surface import (
    even_directions,
    render_surface,
    surface_level,
    surface_of,
    upright,
    view_rotation,
)

BOX = 48


def blob(x: float, y: float, z: float, width: float = 5.0) -> np.ndarray:
    """A Gaussian at (x, y, z) voxels from the box centre, [z, y, x]."""
    k, j, i = np.indices((BOX,) * 3) - BOX // 2
    squared = (i - x) ** 2 + (j - y) ** 2 + (k - z) ** 2
    return np.exp(-squared / (2 * width**2)).astype(np.float32)


def test_a_sphere_is_hit_where_it_is() -> None:
    level = 0.5
    radius = 5.0 * np.sqrt(2 * np.log(2))
    volume = blob(0, 0, 0)
    rays = cast(
        volume, empty_distance(volume >= level), level, np.eye(3), 64, 20.0, even_directions(18)
    )
    hit = rays[..., 0] > 0
    # pixel area is (40 / 64)^2; the rim is sharp to about a pixel
    assert hit.sum() * (40 / 64) ** 2 == pytest.approx(np.pi * radius**2, rel=0.03)
    # trilinear interpolation of this Gaussian is off by up to 1 / (8 width^2) of a voxel's value
    np.testing.assert_allclose(rays[hit][:, 5], radius, atol=0.1)
    # nothing hides the sky of a convex body, but for rays that graze it voxel by voxel
    assert rays[hit][:, 4].mean() > 0.99
    # seen face on, the normal of the nearest point is towards the viewer
    np.testing.assert_allclose(rays[32, 32, 1:4], [0, 0, -1], atol=0.06)


def test_the_bottom_of_a_well_sees_little_sky() -> None:
    z, y, x = np.indices((BOX,) * 3) - BOX // 2
    slab = (np.abs(z) <= 10) & (x**2 + y**2 < 18**2)
    well = (z < 0) & (x**2 + y**2 < 4**2)
    volume = (slab & ~well).astype(np.float32)
    rays = cast(volume, empty_distance(volume > 0), 0.5, np.eye(3), 65, 22.0, even_directions(18))
    bottom, top = rays[32, 32], rays[32, 50]
    assert bottom[0] == top[0] == 1
    assert bottom[4] < 0.4
    assert top[4] > 0.9


def test_leaps_never_pass_the_surface() -> None:
    """With and without the distances to leap by, the same pixels are hit at the same place."""
    generator = np.random.default_rng(5)
    volume = resized(generator.normal(size=(12,) * 3).astype(np.float32), BOX)
    level = float(np.quantile(volume, 0.9))
    near = np.minimum(empty_distance(volume >= level), 1)
    sky = even_directions(1)
    rotation = view_rotation(30, 40)
    leaping = cast(volume, empty_distance(volume >= level), level, rotation, 48, 20.0, sky)
    stepping = cast(volume, near.astype(np.uint8), level, rotation, 48, 20.0, sky)
    same = (leaping[..., 0] == stepping[..., 0]).mean()
    # the two sample rays at other points, so that a graze of the surface may differ
    assert same > 0.995
    both = (leaping[..., 0] > 0) & (stepping[..., 0] > 0)
    assert np.median(np.abs(leaping[both][:, 5] - stepping[both][:, 5])) < 0.05


def test_empty_distance_is_the_chessboard_distance() -> None:
    solid = np.random.default_rng(1).random((20,) * 3) > 0.995
    expected = np.minimum(distance_transform_cdt(~solid, metric="chessboard"), LEAP)
    np.testing.assert_array_equal(empty_distance(solid), expected)


@pytest.mark.parametrize("azimuth", [0, 20, 110])
@pytest.mark.parametrize("elevation", [0, 12, 90])
def test_view_rotations_are_proper(azimuth: float, elevation: float) -> None:
    rotation = view_rotation(azimuth, elevation)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_pictures_show_the_hand_of_the_map() -> None:
    """A viewer on the +x axis, z up, has +y to the right."""
    values = blob(0, 0, 0, 3) + blob(0, 12, 0, 3) + blob(0, 0, 14, 3)
    surface = surface_of(values)
    assert surface is not None
    coverage = render_surface(surface, view_rotation(0, 0), 60)[..., 3]
    rows, columns = np.nonzero(coverage > 0.5)
    centre = 29.5
    assert columns.max() - centre > 1.5 * (centre - columns.min())
    assert centre - rows.min() > 1.5 * (rows.max() - centre)


def test_level_separates_particle_and_noise() -> None:
    noise = np.random.default_rng(2).normal(scale=0.05, size=(BOX,) * 3)
    level = surface_level((blob(0, 0, 0) > 0.5) + noise)
    # four standard deviations of the noise, and as far below the particle
    assert 0.2 < level < 0.8


def test_a_map_without_density_has_no_surface() -> None:
    assert surface_of(np.zeros((BOX,) * 3, np.float32)) is None
    assert surface_of(-np.ones((BOX,) * 3, np.float32)) is None


@pytest.mark.parametrize("box", [32, 64])
def test_resizing_keeps_a_smooth_map(box: int) -> None:
    volume = blob(2, -3, 4, 4.0)
    back = resized(resized(volume, box), BOX)
    # the Gaussian's spectrum at the smaller box's edge is exp(-(2 pi 4 / 3)^2 / 2) = 6e-16
    np.testing.assert_allclose(back, volume, atol=1e-5)
    assert resized(volume, box).max() == pytest.approx(1.0, abs=0.05)


def test_upright_puts_the_longest_axis_along_z() -> None:
    values = sum(blob(step, 2 * step, -step, 2.0) for step in (-4, -2, 0, 2, 4, 6))
    values = values + blob(5, 0, 5, 3.0)
    frame = upright(values, 0.3)
    np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(frame) == pytest.approx(1.0)
    assert abs(frame[2] @ np.array([1, 2, -1]) / np.sqrt(6)) > 0.98
    # another orientation of the same particle is turned to the same one
    turned = values.transpose(2, 0, 1)
    permutation = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], dtype=float)
    np.testing.assert_allclose(upright(turned, 0.3), frame @ permutation.T, atol=1e-9)


def test_even_directions_are_even() -> None:
    directions = even_directions(500)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0)
    np.testing.assert_allclose(directions.mean(axis=0), 0.0, atol=0.01)
    np.testing.assert_allclose(directions.T @ directions / 500, np.eye(3) / 3, atol=0.01)
