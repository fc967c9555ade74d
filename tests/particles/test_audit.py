from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.errors import BadDataError
from cryospin.io.mrc import StackWriter
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.optics import CtfParameters, Optics
from cryospin.particles.audit import audit_table, particles_too_close, stack_files
from cryospin.types import ParticleStack

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
    audit_table(read_particles(dataset(tmp_path)))


def test_files_are_told_from_their_headers(tmp_path: Path) -> None:
    files = stack_files(read_particles(dataset(tmp_path)))
    assert [(file.path.name, file.images, file.used) for file in files] == [
        ("a.mrcs", COUNT // 2, COUNT // 2),
        ("b.mrcs", COUNT // 2, COUNT // 2),
    ]
    assert files[0].box == BOX and files[0].voxel_size_angstrom == pytest.approx(1.5)


def test_particles_too_close(tmp_path: Path) -> None:
    stack = read_particles(dataset(tmp_path))
    assert particles_too_close(stack) is None
    places = np.stack([np.arange(COUNT) * 100.0, np.zeros(COUNT)], axis=1)
    places[7] = places[3] + [1.0, 1.0]
    micrographs = np.array(["m"] * COUNT)
    there = replace(stack, coordinates_angstrom=1.5 * places, micrographs=micrographs)
    count, distance = particles_too_close(there) or (0, 0.0)
    assert count == 2 and distance == pytest.approx(0.2 * BOX * 1.5)
    micrographs[7] = "another"
    assert particles_too_close(there) == (0, distance)


def test_one_tube_makes_no_half_sets(tmp_path: Path) -> None:
    stack = read_particles(dataset(tmp_path))
    tubes = np.zeros(COUNT, np.int64)
    with pytest.raises(BadDataError, match="one helical tube") as refusal:
        audit_table(replace(stack, tubes=tubes))
    assert refusal.value.column == "rlnHelicalTubeID" and refusal.value.fix
    audit_table(replace(stack, tubes=np.arange(COUNT) % 2))
    audit_table(replace(stack, tubes=tubes - 1))


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
    names = ["ImageName", "DefocusU", "DefocusV", "DefocusAngle", "Voltage"]
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
