"""What RELION and cryoSPARC both have a place for goes there and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosparc_tables import full, table
from cryospin.ctf import wavelength_angstrom
from cryospin.errors import BadDataError
from cryospin.fourier.disk import FourierDisk, images_to_coefficients
from cryospin.io.cryosparc import read_cryosparc
from cryospin.io.cryosparc_table import read_cs
from cryospin.io.formats import CRYOSPARC, RELION_31, read_particles_of_any_kind
from cryospin.io.relion import read_particles
from cryospin.io.table_writer import write_table
from cryospin.optics import Optics
from cryospin.particles.lens import Lenses
from cryospin.particles.picks import tube_pairs
from cryospin.types import ParticleStack
from relion_tables import relion_table

PIXEL = 1.5
POSED = {
    "rlnAngleRot": ["10", "20", "30"],
    "rlnAngleTilt": ["40", "50", "60"],
    "rlnAnglePsi": ["70", "80", "90"],
    "rlnOriginXAngst": ["-30", "-30", "15"],
    "rlnOriginYAngst": ["12", "12", "0"],
}

small = st.floats(-0.05, 0.05)
optics_groups = st.builds(
    Optics,
    st.just("group"),
    st.just(PIXEL),
    st.sampled_from([200.0, 300.0]),
    st.sampled_from([0.01, 1.4, 2.7]),
    st.just(0.1),
    beam_tilt_mrad=st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
    magnification=st.builds(lambda a, b, c, d: (1 + a, b, c, 1 + d), small, small, small, small),
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> ParticleStack:
    path = relion_table(tmp_path_factory.mktemp("plain"), PIXEL, {}, POSED, groups="121")
    return read_particles(path)


@settings(derandomize=True, deadline=None, max_examples=15)
@given(
    optics=st.tuples(optics_groups, optics_groups),
    tubes=st.lists(st.integers(-1, 2), min_size=3, max_size=3),
)
def test_optics_shifts_and_tubes_there_and_back(
    plain: ParticleStack, optics: tuple[Optics, Optics], tubes: list[int]
) -> None:
    """As float32 holds them, whichever table was first."""
    cs = torch.tensor([optics[i].spherical_aberration_mm for i in plain.optics_group])
    ctf = replace(plain.ctf, spherical_aberration_mm=cs)
    stack = replace(plain, optics=optics, ctf=ctf, tubes=np.array(tubes))
    folder = plain.source.parent
    kinds = {CRYOSPARC: "x.cs", RELION_31: "x.star"}
    for kind in (CRYOSPARC, RELION_31, CRYOSPARC):
        write_table(folder / kinds[kind], stack, kind)
        again = read_particles_of_any_kind(folder / kinds[kind])
        for i, group in enumerate(again.optics_group):
            found, expected = again.optics[group], optics[plain.optics_group[i]]
            # RELION's columns have six and eight decimals
            assert found.beam_tilt_mrad == pytest.approx(expected.beam_tilt_mrad, abs=3e-6)
            assert found.magnification == pytest.approx(expected.magnification, abs=2e-8)
        assert again.poses is not None and plain.poses is not None
        shifts = again.poses.shifts_angstrom, plain.poses.shifts_angstrom
        torch.testing.assert_close(*shifts, rtol=0, atol=1e-4)
        pairs = (tube_pairs(each) for each in (again, stack))
        assert len({tuple(map(tuple, each.tolist())) for each in pairs}) == 1
        stack = again


def test_units_and_signs_of_cryosparcs_columns(tmp_path: Path) -> None:
    """A tilt is Cs times its angle, in Angstrom; the matrix stands there less one."""
    optics = {
        "rlnBeamTiltX": "0.5", "rlnBeamTiltY": "-0.25",
        "rlnMagMat00": "1.02", "rlnMagMat01": "0.03", "rlnMagMat10": "-0.01", "rlnMagMat11": "0.98",
    }  # fmt: skip
    stack = read_particles(relion_table(tmp_path, PIXEL, dict(optics), POSED))
    write_table(tmp_path / "x.cs", stack, CRYOSPARC)
    rows = read_cs(tmp_path / "x.cs")
    np.testing.assert_allclose(rows["ctf/tilt_A"], [[13500, -6750]] * 3, rtol=1e-6)
    np.testing.assert_allclose(rows["ctf/anisomag"], [[0.02, 0.03, -0.01, -0.02]] * 3, rtol=1e-6)
    # shifts are those in the distorted image, as RELION's table has them
    np.testing.assert_allclose(rows["alignments3D/shift"][0] * PIXEL, [-30, 12], rtol=1e-5)
    again = read_cryosparc(tmp_path / "x.cs")
    assert again.optics[0].beam_tilt_mrad == (0.5, -0.25)
    assert again.optics[0].magnification == (1.02, 0.03, -0.01, 0.98)


@pytest.mark.parametrize("less_one", [True, False])
def test_the_matrix_may_stand_there_itself(tmp_path: Path, less_one: bool) -> None:
    entries = np.array([1.02, 0.03, -0.01, 0.98]) - less_one * np.array([1.0, 0, 0, 1.0])
    columns = full(4) | {"ctf/anisomag": np.array([entries] * 4, "<f4")}
    (optics,) = read_cryosparc(table(tmp_path / "x.cs", columns)).optics
    assert optics.magnification == pytest.approx((1.02, 0.03, -0.01, 0.98), abs=1e-7)


@pytest.mark.parametrize("entries", [[1, 0, 0, 0.2], [0, 5, 0, 0], [9, 0, 0, 9], [-0.9, 0, 0, 0]])
def test_a_matrix_that_is_none_is_refused(tmp_path: Path, entries: list[float]) -> None:
    columns = full(4) | {"ctf/anisomag": np.zeros((4, 4), "<f4")}
    columns["ctf/anisomag"][2] = entries
    with pytest.raises(BadDataError, match="no magnification matrix") as refusal:
        read_cryosparc(table(tmp_path / "x.cs", columns))
    assert (refusal.value.row, refusal.value.column) == (3, "ctf/anisomag")


def test_particles_of_one_group_may_differ(tmp_path: Path) -> None:
    columns = full(4) | {"ctf/tilt_A": np.zeros((4, 2), "<f4")}
    columns["ctf/tilt_A"][1] = 27000, 0
    stack = read_cryosparc(table(tmp_path / "x.cs", columns))
    tilts = [stack.optics[group].beam_tilt_mrad for group in stack.optics_group]
    assert tilts == [(0, 0), (1, 0), (0, 0), (0, 0)]


def test_a_tilt_of_cryosparc_is_undone_in_the_images(tmp_path: Path) -> None:
    """2 pi lambda^2 s^2 (tilt_A . s), by hand."""
    columns = full(1) | {"ctf/tilt_A": np.array([[13500, -6750]], "<f4")}
    stack = read_cryosparc(table(tmp_path / "x.cs", columns))
    disk = FourierDisk.of(stack.box)
    images = torch.randn(1, stack.box, stack.box, generator=torch.Generator().manual_seed(0))
    found = Lenses.of(stack, disk).coefficients(images, np.array([0]))[0]
    x, y = (k / (stack.box * stack.pixel_size_angstrom) for k in (disk.kx, disk.ky))
    squared = x**2 + y**2
    phase = 2 * np.pi * wavelength_angstrom(300.0) ** 2 * squared * (13500 * x - 6750 * y)
    expected = images_to_coefficients(images, disk)[0] * torch.from_numpy(np.exp(1j * phase))
    torch.testing.assert_close(found, expected.to(torch.complex64), rtol=0, atol=1e-4)


def test_a_pose_set_in_cryosparcs_own_table_is_in_the_image_as_it_is(tmp_path: Path) -> None:
    columns = full(4) | {"ctf/anisomag": np.array([[0.02, 0.03, -0.01, -0.02]] * 4, "<f4")}
    stack = read_cryosparc(table(tmp_path / "x.cs", columns))
    write_table(tmp_path / "y.cs", stack, CRYOSPARC, stack.poses)
    before, after = (read_cs(tmp_path / name) for name in ("x.cs", "y.cs"))
    shifts = [rows["alignments3D/shift"] * rows["alignments3D/psize_A"][:, None]
              for rows in (before, after)]  # fmt: skip
    np.testing.assert_allclose(*shifts, atol=1e-5)
