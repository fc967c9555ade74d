from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.errors import BadDataError
from cryospin.io.mrc import StackWriter
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.particles.audit import audit_images, audit_table
from cryospin.types import CtfParameters, Optics, ParticleStack

COUNT, BOX = 120, 16


def write_stack(path: Path, count: int = COUNT // 2, box: int = BOX, seed: int = 0) -> None:
    images = np.random.default_rng(seed).normal(size=(count, box, box))
    with StackWriter(path, box, 1.5, count) as writer:
        writer.append(images)


def dataset(
    folder: Path, box: int = BOX, optics: Optics | None = None, defocus: float = 15000.0
) -> Path:
    """A sound table of two stacks of 60 images, unless told otherwise."""
    write_stack(folder / "a.mrcs", box=box, seed=1)
    write_stack(folder / "b.mrcs", box=box, seed=2)
    names = [f"{i // 2 + 1:06d}@{'ab'[i % 2]}.mrcs" for i in range(COUNT)]
    group = optics or Optics("group", 1.5, 300.0, 2.7, 0.1)
    ones = torch.ones(COUNT)
    kv, cs, contrast = group.voltage_kv, group.spherical_aberration_mm, group.amplitude_contrast
    values = (defocus, defocus, 30.0, 0.0, kv, cs, contrast)
    ctf = CtfParameters(*(value * ones for value in values))
    path = folder / "in.star"
    write_new_particles(path, names, (group,), box, np.zeros(COUNT), ctf)
    return path


def edited(path: Path, *changes: tuple[str, str]) -> Path:
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


def refusal_of(check: Callable[[ParticleStack], None], path: Path) -> BadDataError:
    with pytest.raises(BadDataError) as refusal:
        check(read_particles(path))
    assert refusal.value.exit_code == 3
    assert refusal.value.file and refusal.value.fix
    return refusal.value


def test_sound_particles_pass(tmp_path: Path) -> None:
    stack = read_particles(dataset(tmp_path))
    audit_table(stack)
    seen: list[tuple[int, int]] = []
    audit_images(stack, lambda done, total: seen.append((done, total)))
    assert seen == [(COUNT, COUNT)]


def test_too_few_particles(tmp_path: Path) -> None:
    stack = read_particles(dataset(tmp_path))
    with pytest.raises(BadDataError, match="99 particles; at least 100"):
        audit_table(stack.select(np.arange(99)))
    audit_table(stack.select(np.arange(5)), min_particles=5)


@pytest.mark.parametrize(
    ("optics", "defocus", "column", "problem"),
    [
        (Optics("g", 1.5, 300000.0, 2.7, 0.1), 15000.0, "rlnVoltage", "300000 kV is outside"),
        (Optics("g", 1.5, 0.0, 2.7, 0.1), 15000.0, "rlnVoltage", "0 kV is outside"),
        (Optics("g", 1.5, 300.0, 2.7e7, 0.1), 15000.0, "rlnSphericalAberration", "mm is outside"),
        (Optics("g", 1.5, 300.0, 2.7, 10.0), 15000.0, "rlnAmplitudeContrast", "10 is outside 0"),
        (Optics("g", 150.0, 300.0, 2.7, 0.1), 15000.0, "rlnImagePixelSize", "150 Angstrom is out"),
        (Optics("g", 0.0, 300.0, 2.7, 0.1), 15000.0, "rlnImagePixelSize", "0 Angstrom is out"),
        (Optics("g", 1.5, 300.0, 2.7, 0.1), -15000.0, "rlnDefocusU", "-15000 Angstrom is out"),
        (Optics("g", 1.5, 300.0, 2.7, 0.1), 1.5e6, "rlnDefocusU", "(120 of 120 particles)"),
        (Optics("g", 1.5, 300.0, 2.7, 0.1), 1.5, "rlnDefocusU", "is it in micrometres?"),
    ],
)
def test_nonsense_optics(
    tmp_path: Path, optics: Optics, defocus: float, column: str, problem: str
) -> None:
    refusal = refusal_of(audit_table, dataset(tmp_path, optics=optics, defocus=defocus))
    assert (refusal.column, refusal.row) == (column, 1)
    assert problem in refusal.problem


def test_pixel_size_of_a_magnification_of_zero(tmp_path: Path) -> None:
    path = tmp_path / "in.star"
    write_stack(tmp_path / "a.mrcs", COUNT)
    names = ("ImageName", "DefocusU", "DefocusV", "DefocusAngle", "Voltage")
    names += ("SphericalAberration", "AmplitudeContrast", "Magnification", "DetectorPixelSize")
    head = "data_\nloop_\n" + "".join(f"_rln{name}\n" for name in names)
    rows = [f"{i + 1}@a.mrcs 15000 15000 0 300 2.7 0.1 0 5\n" for i in range(COUNT)]
    path.write_text(head + "".join(rows))
    assert "inf Angstrom" in refusal_of(audit_table, path).problem


def test_one_particle_twice(tmp_path: Path) -> None:
    path = edited(dataset(tmp_path), ("000007@a.mrcs", "5@a.mrcs"))
    refusal = refusal_of(audit_table, path)
    assert (refusal.row, refusal.column) == (13, "rlnImageName")
    assert "also in row 9" in refusal.problem


def test_the_row_is_the_tables_after_selection(tmp_path: Path) -> None:
    path = edited(dataset(tmp_path), ("000050@a.mrcs", "000099@a.mrcs"))
    stack = read_particles(path).select(np.arange(COUNT)[::-1].copy())
    with pytest.raises(BadDataError, match="row 99, .*image 99 of .*holds 60 "):
        audit_table(stack)


def test_missing_stack(tmp_path: Path) -> None:
    path = dataset(tmp_path)
    (tmp_path / "b.mrcs").unlink()
    refusal = refusal_of(audit_table, path)
    assert (refusal.row, refusal.column) == (2, "rlnImageName")
    assert f"stack {tmp_path / 'b.mrcs'} does not exist" in refusal.problem


def test_truncated_stack(tmp_path: Path) -> None:
    path = dataset(tmp_path)
    stack = tmp_path / "b.mrcs"
    stack.write_bytes(stack.read_bytes()[:-100])
    refusal = refusal_of(audit_table, path)
    assert refusal.file == stack
    assert "truncated" in refusal.problem and "100 fewer" in refusal.problem


def test_boxes_that_differ(tmp_path: Path) -> None:
    path = dataset(tmp_path)
    write_stack(tmp_path / "b.mrcs", box=18)
    assert "18 x 18 pixels, not 16 x 16" in refusal_of(audit_table, path).problem


@pytest.mark.parametrize("box", [17, 8])
def test_odd_or_tiny_box(tmp_path: Path, box: int) -> None:
    refusal = refusal_of(audit_table, dataset(tmp_path, box=box))
    assert f"a box of {box} pixels; it must be even" in refusal.problem


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (np.nan, "NaN or infinite pixels"),
        (np.inf, "NaN or infinite pixels"),
        (0.0, "the same value in every pixel"),
        (3.5, "the same value in every pixel"),
    ],
)
def test_images_that_hold_nothing(tmp_path: Path, value: float, problem: str) -> None:
    path = dataset(tmp_path)
    images = np.memmap(tmp_path / "b.mrcs", "<f4", "r+", 1024, (COUNT // 2, BOX, BOX))
    images[[10, 40]] = value
    images.flush()
    refusal = refusal_of(audit_images, path)
    assert (refusal.row, refusal.column) == (22, "rlnImageName")
    assert problem in refusal.problem and "000011@b.mrcs" in refusal.problem
    assert "(2 of 120)" in refusal.problem


def test_one_broken_pixel_is_found(tmp_path: Path) -> None:
    path = dataset(tmp_path)
    images = np.memmap(tmp_path / "a.mrcs", "<f4", "r+", 1024, (COUNT // 2, BOX, BOX))
    images[3, 4, 5] = -np.inf
    images[3, 4, 6] = np.inf
    images.flush()
    assert "(1 of 120)" in refusal_of(audit_images, path).problem
