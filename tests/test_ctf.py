"""Contrast transfer: sign, axis of astigmatism, and agreement with an outside program."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch_ctf

from cryospin.ctf import contrast_transfer, electron_wavelength_angstrom
from cryospin.fourier.disk import FourierDisk
from cryospin.optics import CtfParameters

BOX, PIXEL = 48, 1.7
DISK = FourierDisk.of(BOX)


def parameters(*rows: tuple[float, ...]) -> CtfParameters:
    """Rows of U, V, angle, phase shift, kV, Cs, amplitude contrast."""
    return CtfParameters(*torch.tensor(rows, dtype=torch.float64).T)


ASTIGMATIC = parameters(
    (15000, 12000, 37, 0, 300, 2.7, 0.07),
    (8000, 9500, -70, 35, 200, 1.4, 0.1),
    (22000, 21000, 180, 90, 300, 0.01, 0.0),
    (18000, 18000, 0, 0, 120, 2.0, 0.2),
)


@pytest.mark.parametrize(
    "voltage_kv, wavelength", [(100, 0.0370144), (200, 0.0250793), (300, 0.0196874)]
)
def test_wavelength_is_the_textbooks(voltage_kv: float, wavelength: float) -> None:
    """Reimer & Kohl 2008, table 2.1 to the digits it is known to."""
    found = electron_wavelength_angstrom(torch.tensor([voltage_kv], dtype=torch.float64))
    assert float(found) == pytest.approx(wavelength, abs=2e-7)


def test_at_the_origin_it_is_plus_the_amplitude_contrast() -> None:
    for contrast in (0.0, 0.07, 0.1, 0.4):
        rows = parameters((15000, 12000, 37, 0, 300, 2.7, contrast))
        value = contrast_transfer(rows, DISK, PIXEL)[0, 0]
        assert float(value) == pytest.approx(contrast, abs=1e-12)


def test_a_quarter_wave_phase_plate_turns_sine_into_cosine() -> None:
    rows = parameters((15000, 12000, 37, 90, 300, 2.7, 0.0))
    assert float(contrast_transfer(rows, DISK, PIXEL)[0, 0]) == pytest.approx(1.0)


def test_underfocus_raises_it_from_there() -> None:
    """Protein is bright: contrast keeps the sign of the amplitude contrast at low frequency."""
    rows = parameters((15000, 15000, 0, 0, 300, 2.7, 0.1))
    values = contrast_transfer(rows, DISK, PIXEL)[0]
    on_axis = (DISK.ky == 0) & (DISK.kx <= 3)
    assert (np.diff(values[on_axis].numpy()) > 0).all()


def test_u_and_v_may_change_places_with_a_quarter_turn() -> None:
    swapped = replace(
        ASTIGMATIC,
        defocus_u_angstrom=ASTIGMATIC.defocus_v_angstrom,
        defocus_v_angstrom=ASTIGMATIC.defocus_u_angstrom,
        defocus_angle_degrees=ASTIGMATIC.defocus_angle_degrees + 90,
    )
    torch.testing.assert_close(
        contrast_transfer(swapped, DISK, PIXEL),
        contrast_transfer(ASTIGMATIC, DISK, PIXEL),
        rtol=0,
        atol=1e-10,
    )


@pytest.mark.parametrize("angle, along", [(0, (1, 0)), (90, (0, 1)), (45, (1, 1)), (-45, (1, -1))])
def test_along_its_axis_u_is_the_defocus(angle: float, along: tuple[int, int]) -> None:
    astigmatic = parameters((15000, 11000, angle, 0, 300, 2.7, 0.1))
    round_ = parameters((15000, 15000, 0, 0, 300, 2.7, 0.1))
    line = DISK.kx * along[1] == DISK.ky * along[0]
    first, second = (contrast_transfer(rows, DISK, PIXEL)[:, line] for rows in (astigmatic, round_))
    torch.testing.assert_close(first, second, rtol=0, atol=1e-10)


def test_agrees_with_torch_ctf() -> None:
    ours = contrast_transfer(ASTIGMATIC, DISK, PIXEL)
    u, v = ASTIGMATIC.defocus_u_angstrom, ASTIGMATIC.defocus_v_angstrom
    # theirs gives NaN where v > u: then the axes are named the other way about
    swapped = u < v
    theirs = torch_ctf.calculate_ctf_2d(
        defocus=(u + v) / 2e4,
        astigmatism=(u - v).abs() / 2e4,
        astigmatism_angle=ASTIGMATIC.defocus_angle_degrees + 90 * swapped,
        voltage=ASTIGMATIC.voltage_kv,
        spherical_aberration=ASTIGMATIC.spherical_aberration_mm,
        amplitude_contrast=ASTIGMATIC.amplitude_contrast,
        phase_shift=ASTIGMATIC.phase_shift_degrees,
        pixel_size=PIXEL,
        image_shape=(BOX, BOX),
        rfft=True,
        fftshift=False,
    )
    rows, columns = torch.as_tensor(DISK.ky % BOX).long(), torch.as_tensor(DISK.kx).long()
    # their frequencies are float32, and the phase reaches tens of radians
    torch.testing.assert_close(ours, theirs[:, rows, columns].double(), rtol=0, atol=1e-4)


def test_keeps_the_precision_it_was_given() -> None:
    single = CtfParameters(*(value.float() for value in vars(ASTIGMATIC).values()))
    values = contrast_transfer(single, DISK, PIXEL)
    assert values.dtype == torch.float32
    exact = contrast_transfer(ASTIGMATIC, DISK, PIXEL)
    # computed in float64 from float32 parameters: their rounding (1e-7 of 60 rad) is all
    torch.testing.assert_close(values.double(), exact, rtol=0, atol=2e-5)
