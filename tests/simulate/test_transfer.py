from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.errors import BadDataError, UsageError
from cryospin.io.formats import read_particles_of_any_kind
from cryospin.io.relion import write_new_particles
from cryospin.io.table_writer import write_table
from cryospin.optics import CtfParameters, Optics
from cryospin.simulate.transfer import apply_ctf, ctf_from_table, draw_ctf, neutral_ctf

PIXEL = 3.0


def table(rows: int = 7) -> np.ndarray:
    """Nine columns, every number of every row another."""
    scale = np.array([0, 0, 500, 500, 7, 10, 0.1, 0.01, 3])
    base = np.array([360, 1.3, 12000, 12500, -60, 200, 1.2, 0.05, 0])
    return base + scale * np.arange(rows)[:, None]


def columns(ctf: CtfParameters) -> np.ndarray:
    return np.stack([getattr(ctf, field.name).numpy() for field in fields(ctf)], axis=1)


def test_table_rows_are_taken_whole(tmp_path: Path) -> None:
    np.savez(tmp_path / "ctf.npz", ctf=table())
    drawn = columns(ctf_from_table(tmp_path / "ctf.npz", 60, seed=1))
    # U, V, angle, phase, kV, Cs, contrast
    known = table()[:, [2, 3, 4, 8, 5, 6, 7]]
    row = np.rint((drawn[:, 0] - 12000) / 500).astype(int)
    assert np.allclose(drawn, known[row])
    assert set(row) == set(range(7))


def test_star_table_gives_its_ctfs(tmp_path: Path) -> None:
    ctf = draw_ctf(5, seed=3)
    names = [f"{i + 1}@none.mrcs" for i in range(5)]
    optics = (Optics("one", 1.5, 300.0, 2.7, 0.1),)
    write_new_particles(tmp_path / "ctf.star", names, optics, 64, np.zeros(5, int), ctf)
    drawn = columns(ctf_from_table(tmp_path / "ctf.star", 40, seed=1))
    # read as float32, whose steps at 3 um of defocus are 0.002 Angstrom
    distance = np.abs(drawn[:, None] - columns(ctf)[None]).max(axis=2)
    assert (distance.min(axis=1) < 0.01).all()


@pytest.mark.parametrize(
    "arrays, match",
    [
        ({"other": table()}, "no table"),
        ({"ctf": table()[:, :5]}, "shape"),
        ({"ctf": np.where(table() == 13000, np.nan, table())}, "row 2|row 3"),
    ],
)
def test_unusable_tables_are_refused(tmp_path: Path, arrays: dict, match: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(BadDataError, match=match):
        ctf_from_table(tmp_path / "bad.npz", 3, seed=0)


def test_missing_and_unreadable_tables(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        ctf_from_table(tmp_path / "missing.npz", 3, seed=0)
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(BadDataError, match="text.npz"):
        ctf_from_table(tmp_path / "text.npz", 3, seed=0)


def test_drawn_defocus_is_underfocus_in_range() -> None:
    ctf = draw_ctf(500, seed=0)
    mean = 0.5 * (ctf.defocus_u_angstrom + ctf.defocus_v_angstrom)
    difference = ctf.defocus_u_angstrom - ctf.defocus_v_angstrom
    assert mean.min() > 1e4 and mean.max() < 3e4 and mean.std() > 5e3
    assert difference.min() >= 0 and difference.max() <= 400


def test_neutral_transfer_changes_nothing() -> None:
    images = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(apply_ctf(images, neutral_ctf(3), PIXEL), images, atol=1e-5)


def test_transfer_is_the_ctf_at_each_frequency() -> None:
    """A wave goes in, the same wave times the CTF comes out, far from the box's edges."""
    box, cycles = 256, 0.1
    ctf = CtfParameters(
        *(torch.tensor([v], dtype=torch.float64) for v in (9e3, 9e3, 0, 0, 300, 2.7, 0.1))
    )
    # a long wave packet: sharp in frequency, and its tails end before the box does
    x = torch.arange(box, dtype=torch.float64) - box // 2
    envelope = torch.exp(-0.5 * (x / 30.0) ** 2)
    wave = (envelope * torch.cos(2 * np.pi * cycles * x)).repeat(box, 1) * envelope[:, None]
    out = apply_ctf(wave[None], ctf, PIXEL)[0]
    wavelength, s = 0.0196875, cycles / PIXEL
    phase = np.pi * wavelength * s**2 * (0.5 * wavelength**2 * s**2 * 2.7e7 - 9e3)
    expected = -np.sin(phase - np.arcsin(0.1))
    centre = box // 2
    # the packet is 1/190 cycles per pixel wide, over which the CTF turns by a few per cent
    assert abs(float(out[centre, centre] / wave[centre, centre]) - expected) < 0.05


def test_mean_of_an_image_is_multiplied_by_the_amplitude_contrast() -> None:
    image = torch.zeros(1, 32, 32, dtype=torch.float64)
    image[0, 16, 16] = 1.0
    ctf = CtfParameters(
        *(torch.tensor([v], dtype=torch.float64) for v in (2e3, 2e3, 0, 0, 300, 2.7, 0.1))
    )
    out = apply_ctf(image, ctf, 8.0)
    # protein stays bright; at small defocus little leaves the box
    assert abs(float(out.sum()) - 0.1) < 0.02


ABERRATED = {
    "beam tilt (rlnBeamTiltX, rlnBeamTiltY)": {"beam_tilt_mrad": (1.0, 0.0)},
    "odd aberrations (rlnOddZernike)": {"odd_zernike": (0.0, 1.0)},
    "even aberrations (rlnEvenZernike)": {"even_zernike": (0.0, 1.0)},
    "anisotropic magnification (rlnMagMat00": {"magnification": (1.02, 0.0, 0.0, 0.98)},
    None: {},
}


@pytest.mark.parametrize("suffix", [".star", ".cs"])
@pytest.mark.parametrize("what", ABERRATED)
def test_what_is_not_simulated_is_said_once(tmp_path: Path, what: str | None, suffix: str) -> None:
    names = [f"{i + 1}@none.mrcs" for i in range(5)]
    optics = (Optics("one", 1.5, 300.0, 2.7, 0.1, **ABERRATED[what]),)
    ctf = draw_ctf(5, seed=3)
    write_new_particles(tmp_path / "ctf.star", names, optics, 64, np.zeros(5, int), ctf)
    if suffix == ".cs":
        stack = read_particles_of_any_kind(tmp_path / "ctf.star")
        write_table(tmp_path / "ctf.cs", stack, "cryosparc")
    said: list[str] = []
    drawn = ctf_from_table(tmp_path / f"ctf{suffix}", 9, 1, said.append)
    assert len(drawn) == 9
    if suffix == ".cs":
        # it has no place for the others
        columns = {"beam": "beam tilt (ctf/tilt_A)", "anis": "magnification (ctf/anisomag)"}
        what = columns.get((what or "")[:4])
    assert len(said) == (what is not None)
    assert not said or ("not simulated" in said[0] and str(what) in said[0])
