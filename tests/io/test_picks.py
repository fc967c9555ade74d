"""Places of particles in Angstrom, whatever a table counts them in, and helical tubes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryosparc_tables import full, table
from cryospin.io.cryosparc import read_cryosparc
from cryospin.io.formats import RELION_30, RELION_31, read_particles_of_any_kind
from cryospin.io.relion import read_particles
from cryospin.io.table_writer import write_table
from cryospin.particles.downsample import downsample
from relion_tables import relion_table

IMAGE_PIXEL = 5.0
PICKS = {"rlnCoordinateX": ["100", "120", "300"], "rlnCoordinateY": ["10", "20", "30"]}
IN_PIXELS = np.array([[100.0, 10.0], [120.0, 20.0], [300.0, 30.0]])


@pytest.mark.parametrize("where", ["optics", "particles"])
@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"rlnMicrographPixelSize": "1.25"}, 1.25),
        ({"rlnMicrographOriginalPixelSize": "1.25"}, 1.25),
        ({"rlnMicrographPixelSize": "1.25", "rlnMicrographOriginalPixelSize": "0.625"}, 1.25),
        ({"rlnMicrographPixelSize": "nan", "rlnMicrographOriginalPixelSize": "0.625"}, 0.625),
        ({"rlnMicrographPixelSize": "0"}, None),
        ({"rlnMicrographPixelSize": "None"}, None),
        ({}, None),
    ],
)
def test_relion_counts_in_micrograph_pixels(
    tmp_path: Path, where: str, sizes: dict[str, str], expected: float | None
) -> None:
    optics = sizes if where == "optics" else {}
    particles = {} if where == "optics" else {name: [size] * 3 for name, size in sizes.items()}
    path = relion_table(tmp_path, IMAGE_PIXEL, optics, PICKS | particles)
    stack = read_particles(path)
    assert stack.optics[0].micrograph_pixel_size_angstrom == expected
    np.testing.assert_allclose(stack.coordinates_angstrom, IN_PIXELS * (expected or IMAGE_PIXEL))
    np.testing.assert_allclose(stack.coordinates_pixel, IN_PIXELS)


def test_groups_count_in_pixels_of_their_own(tmp_path: Path) -> None:
    path = relion_table(
        tmp_path, IMAGE_PIXEL, {"rlnMicrographPixelSize": ["1.0", "2.0"]}, PICKS, groups="121"
    )
    stack = read_particles(path)
    np.testing.assert_allclose(stack.coordinates_angstrom[:, 0], [100.0, 240.0, 300.0])


def test_relion_30_tells_the_pixel_size_of_the_images_alone(tmp_path: Path) -> None:
    """The magnification of a binned particle is that of its own pixels."""
    columns = PICKS | {"rlnDetectorPixelSize": ["5"] * 3, "rlnMagnification": ["10000"] * 3}
    stack = read_particles(relion_table(tmp_path, None, None, columns))
    assert stack.pixel_size_angstrom == IMAGE_PIXEL
    assert stack.optics[0].micrograph_pixel_size_angstrom is None
    np.testing.assert_allclose(stack.coordinates_angstrom, IMAGE_PIXEL * IN_PIXELS)


@pytest.mark.parametrize("lacking", ["nan", "None", "inf", "-"])
def test_a_missing_coordinate_is_an_unknown_place(tmp_path: Path, lacking: str) -> None:
    picks = PICKS | {"rlnCoordinateY": ["10", lacking, "30"]}
    stack = read_particles(relion_table(tmp_path, IMAGE_PIXEL, {}, picks))
    assert np.isfinite(stack.coordinates_angstrom).all(axis=1).tolist() == [True, False, True]


@pytest.mark.parametrize("micrograph_pixel", [1.25, None])
def test_cryosparc_has_fractions_of_the_micrograph(
    tmp_path: Path, micrograph_pixel: float | None
) -> None:
    columns = full(2) | {
        "location/micrograph_path": np.full(2, b"m.mrc"),
        "location/micrograph_shape": np.array([[4000, 6000]] * 2, "<u4"),
        "location/center_x_frac": np.array([0.5, np.nan], "<f4"),
        "location/center_y_frac": np.array([0.25, 0.5], "<f4"),
    }
    if micrograph_pixel is not None:
        columns["location/micrograph_psize_A"] = np.full(2, micrograph_pixel, "<f4")
    stack = read_cryosparc(table(tmp_path / "p.cs", columns))
    size = micrograph_pixel or 1.3
    np.testing.assert_allclose(stack.coordinates_angstrom[0], [3000 * size, 1000 * size], rtol=1e-6)
    assert np.isnan(stack.coordinates_angstrom[1, 0])
    write_table(tmp_path / "p.star", stack, RELION_31)
    again = read_particles(tmp_path / "p.star")
    np.testing.assert_allclose(again.coordinates_angstrom, stack.coordinates_angstrom, rtol=1e-6)


def test_places_survive_dialects_and_binning(tmp_path: Path) -> None:
    stack = read_particles(
        relion_table(tmp_path, IMAGE_PIXEL, {"rlnMicrographPixelSize": "1.25"}, PICKS)
    )
    write_table(tmp_path / "old.star", stack, RELION_30)
    small = downsample(stack, 16, tmp_path / "small")
    for path in (tmp_path / "old.star", small):
        again = read_particles_of_any_kind(path)
        np.testing.assert_allclose(again.coordinates_angstrom, 1.25 * IN_PIXELS)


@pytest.mark.parametrize(
    ("numbers", "tubes"),
    [
        (["1", "1", "1"], [0, 0, 1]),
        (["0", "0", "1"], [0, 0, 1]),
        (["2", "1", "nan"], [1, 0, -1]),
        (["0", "0", "0"], None),
    ],
)
def test_relions_tubes_are_numbered_per_micrograph(
    tmp_path: Path, numbers: list[str], tubes: list[int] | None
) -> None:
    micrographs = {"rlnMicrographName": ["a.mrc", "a.mrc", "b.mrc"]}
    columns = micrographs | {"rlnHelicalTubeID": numbers}
    found = read_particles(relion_table(tmp_path, IMAGE_PIXEL, {}, columns)).tubes
    assert (found if found is None else found.tolist()) == tubes


@pytest.mark.parametrize(("uids", "tubes"), [([7, 7, 9, 0], [1, 1, 2, -1]), ([0, 0, 0, 0], None)])
def test_cryosparcs_filaments(tmp_path: Path, uids: list[int], tubes: list[int] | None) -> None:
    columns = full(4) | {"filament/filament_uid": np.array(uids, "<u8")}
    found = read_cryosparc(table(tmp_path / "p.cs", columns)).tubes
    assert (found if found is None else found.tolist()) == tubes
