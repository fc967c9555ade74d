"""Aberrations and magnification of RELION's optics: read, written, and their poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.errors import BadDataError
from cryospin.io.formats import (
    CRYODRGN,
    CRYOSPARC,
    RELION_30,
    RELION_31,
    read_particles_of_any_kind,
    with_columns_of,
)
from cryospin.io.relion import read_particles, write_particles
from cryospin.io.table_writer import write_table
from cryospin.optics import Optics
from cryospin.particles.downsample import downsample
from relion_tables import relion_table

PIXEL = 1.5
ALL: dict[str, str | list[str]] = {
    "rlnBeamTiltX": ["0.5", "0"],
    "rlnBeamTiltY": ["-0.25", "0"],
    "rlnOddZernike": ["[0,0,1.5]", "[0,0,0]"],
    "rlnEvenZernike": ["[]", "[0.1,2,-3,4.5]"],
    "rlnMagMat00": ["1.02", "1"],
    "rlnMagMat01": ["0.03", "0"],
    "rlnMagMat10": ["-0.01", "0"],
    "rlnMagMat11": ["0.98", "1"],
}
POSED = {
    "rlnAngleRot": ["10", "20", "30"],
    "rlnAngleTilt": ["40", "50", "60"],
    "rlnAnglePsi": ["70", "80", "90"],
    "rlnOriginXAngst": ["-30", "-30", "15"],
    "rlnOriginYAngst": ["12", "12", "0"],
}


def of(optics: Optics) -> tuple[object, ...]:
    return optics.beam_tilt_mrad, optics.odd_zernike, optics.even_zernike, optics.magnification


FIRST = ((0.5, -0.25), (0.0, 0.0, 1.5), (), (1.02, 0.03, -0.01, 0.98))
SECOND = ((0.0, 0.0), (), (0.1, 2.0, -3.0, 4.5), (1.0, 0.0, 0.0, 1.0))


def test_each_group_has_its_own(tmp_path: Path) -> None:
    stack = read_particles(relion_table(tmp_path, PIXEL, ALL, POSED, groups="121"))
    assert [of(optics) for optics in stack.optics] == [FIRST, SECOND]
    assert stack.optics_group.tolist() == [0, 1, 0]


def test_a_column_of_the_particles_divides_a_group(tmp_path: Path) -> None:
    columns = POSED | {"rlnBeamTiltX": ["1", "2", "1"]}
    stack = read_particles(relion_table(tmp_path, PIXEL, {}, columns))
    tilts = [stack.optics[group].beam_tilt_mrad for group in stack.optics_group]
    assert tilts == [(1.0, 0.0), (2.0, 0.0), (1.0, 0.0)]


def test_nothing_said_is_a_perfect_lens(tmp_path: Path) -> None:
    (optics,) = read_particles(relion_table(tmp_path, PIXEL, {}, POSED)).optics
    assert of(optics) == ((0.0, 0.0), (), (), (1.0, 0.0, 0.0, 1.0)) and optics.round


@pytest.mark.parametrize("matrix", [("0", "0"), ("0.2", "1"), ("1", "-1e9"), ("3", "1")])
def test_a_matrix_that_is_none_is_refused(tmp_path: Path, matrix: tuple[str, str]) -> None:
    optics = {"rlnMagMat00": ["1", matrix[0]], "rlnMagMat11": ["1", matrix[1]]}
    path = relion_table(tmp_path, PIXEL, dict(optics), POSED, groups="121")
    with pytest.raises(BadDataError, match="no magnification matrix") as refusal:
        read_particles(path)
    assert (refusal.value.row, refusal.value.column) == (2, "rlnMagMat00")


def test_shifts_are_those_in_the_round_image(tmp_path: Path) -> None:
    """q.t' = k.t at q = M k, for every k."""
    stack = read_particles(relion_table(tmp_path, PIXEL, ALL, POSED, groups="121"))
    assert stack.poses is not None
    matrix = torch.tensor(FIRST[3], dtype=torch.float64).reshape(2, 2)
    found = matrix.T @ stack.poses.shifts_angstrom[0]
    torch.testing.assert_close(found, torch.tensor([30.0, -12.0], dtype=torch.float64))
    assert stack.poses.shifts_angstrom[1].tolist() == [30.0, -12.0]


@pytest.mark.parametrize("kind", [RELION_30, RELION_31, CRYOSPARC, CRYODRGN])
def test_poses_come_back_as_they_were(tmp_path: Path, kind: str) -> None:
    """Tables hold shifts in the images as they are; cryoDRGN's know no distortion."""
    stack = read_particles(relion_table(tmp_path, PIXEL, ALL, POSED, groups="121"))
    out = tmp_path / {CRYOSPARC: "o.cs", CRYODRGN: "o.txt"}.get(kind, "o.star")
    write_table(out, stack, kind, stack.poses)
    there = read_particles_of_any_kind(out)
    back = with_columns_of(stack, there)
    assert there.poses is not None and back.poses is not None and stack.poses is not None
    expected = stack.poses.shifts_angstrom
    torch.testing.assert_close(back.poses.shifts_angstrom, expected, rtol=0, atol=1e-4)
    if kind != CRYODRGN:
        torch.testing.assert_close(there.poses.shifts_angstrom, expected, rtol=0, atol=1e-4)
    else:
        as_seen = torch.tensor([[30.0, -12.0]] * 2 + [[-15.0, 0.0]], dtype=torch.float64)
        torch.testing.assert_close(there.poses.shifts_angstrom, as_seen, rtol=0, atol=1e-4)


def test_the_table_keeps_its_origins(tmp_path: Path) -> None:
    stack = read_particles(relion_table(tmp_path, PIXEL, ALL, POSED, groups="121"))
    write_particles(tmp_path / "again.star", stack, stack.poses, None)
    table = read_particles(tmp_path / "again.star").table.particles.columns
    for name in ("rlnOriginXAngst", "rlnOriginYAngst"):
        np.testing.assert_allclose(
            [*map(float, table[name])], [*map(float, POSED[name])], atol=1e-5
        )


def test_smaller_images_have_the_same_aberrations(tmp_path: Path) -> None:
    stack = read_particles(relion_table(tmp_path, PIXEL, ALL, POSED, groups="121"))
    small = read_particles(downsample(stack, 16, tmp_path / "small"))
    assert [of(optics) for optics in small.optics] == [FIRST, SECOND]
    assert small.poses is not None and stack.poses is not None
    torch.testing.assert_close(
        small.poses.shifts_angstrom, stack.poses.shifts_angstrom, rtol=0, atol=1e-5
    )
