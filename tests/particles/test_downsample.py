"""Fourier-cropped stacks: the same field, the same coefficients, the same poses and CTFs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.cli.main import main
from cryospin.errors import UsageError
from cryospin.fourier.disk import FourierDisk, images_to_coefficients
from cryospin.io.mrc import StackWriter, read_images
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.io.star import read_star, write_star
from cryospin.particles.contrast import inverted
from cryospin.particles.downsample import downsample
from cryospin.particles.half_sets import split_half_sets
from cryospin.types import CtfParameters, Optics, Poses
from phantoms import random_turns

BOX, SMALL, COUNT, PIXEL = 48, 32, 7, 2.0


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Images of noise of two optics groups, with poses, half-sets and micrographs."""
    with StackWriter(tmp_path / "a.mrcs", BOX, PIXEL, COUNT) as writer:
        writer.append(np.random.default_rng(0).normal(size=(COUNT, BOX, BOX)))
    ramp = torch.linspace(10_000, 20_000, COUNT).double()
    constants = (torch.full((COUNT,), c).double() for c in (0.0, 0.0, 300.0, 2.7, 0.1))
    angle, phase, kilovolts, aberration, contrast = constants
    ctf = CtfParameters(ramp, ramp, angle, phase, kilovolts, aberration, contrast)
    optics = tuple(Optics(f"group{i}", PIXEL, 300.0, 2.7, 0.1) for i in (1, 2))
    poses = Poses(random_turns(COUNT, 1), torch.randn(COUNT, 2).double(), torch.ones(COUNT))
    write_new_particles(
        tmp_path / "in.star",
        [f"{i + 1:06d}@a.mrcs" for i in range(COUNT)],
        optics,
        BOX,
        np.arange(COUNT) % 2,
        ctf,
        poses,
        [f"m{i // 3}.mrc" for i in range(COUNT)],
        np.arange(2.0 * COUNT).reshape(COUNT, 2),
        np.arange(COUNT) % 2 + 1,
    )
    return tmp_path / "in.star"


def test_poses_that_are_no_numbers_do_not_matter(table: Path, tmp_path: Path) -> None:
    star = read_star(table)
    for name in ("rlnAngleRot", "rlnRandomSubset", "rlnCoordinateX"):
        star.blocks["particles"].columns[name][2] = "None"
    write_star(table, star)
    small = read_particles(downsample(read_particles(table), SMALL, tmp_path / "small"))
    assert len(small) == COUNT and small.poses is not None
    assert small.poses.known.tolist() == [i != 2 for i in range(COUNT)]
    assert len(split_half_sets(small, 0, 50.0)) == COUNT


def test_coefficients_are_the_same(table: Path, tmp_path: Path) -> None:
    stack = read_particles(table)
    small = read_particles(downsample(stack, SMALL, tmp_path / "small"))
    assert (small.box, small.pixel_size_angstrom) == (SMALL, pytest.approx(3.0))
    everyone = np.arange(COUNT)
    disk = FourierDisk.of(BOX).prefix(SMALL / 2 - 1)
    ours, theirs = (
        images_to_coefficients(read_images(s, everyone), replace_box(disk, s.box))
        for s in (small, stack)
    )
    # an image's transform is divided by its box: fewer pixels, the same values
    torch.testing.assert_close(ours / SMALL, theirs / BOX, rtol=0, atol=1e-5)


def replace_box(disk: FourierDisk, box: int) -> FourierDisk:
    return FourierDisk.of(box).prefix(disk.radius)


def test_all_else_stays(table: Path, tmp_path: Path) -> None:
    stack = read_particles(table)
    small = read_particles(downsample(stack, SMALL, tmp_path / "small"))
    assert stack.poses is not None and small.poses is not None
    torch.testing.assert_close(small.poses.rotations, stack.poses.rotations, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        small.poses.shifts_angstrom, stack.poses.shifts_angstrom, rtol=0, atol=1e-5
    )
    for name in ("half_set", "optics_group", "micrographs", "coordinates_angstrom"):
        np.testing.assert_array_equal(getattr(small, name), getattr(stack, name))
    torch.testing.assert_close(small.ctf.defocus_u_angstrom, stack.ctf.defocus_u_angstrom)
    names = small.table.particles.columns["rlnImageOriginalName"]
    assert names == list(stack.uids)


def test_protein_is_written_bright(table: Path, tmp_path: Path) -> None:
    """A stack that is declared dark is turned as it is read."""
    stack = read_particles(table)
    plain, turned = (
        read_images(read_particles(downsample(s, SMALL, tmp_path / name)), np.arange(COUNT))
        for s, name in ((stack, "plain"), (inverted(stack), "turned"))
    )
    assert torch.equal(plain, -turned)


@pytest.mark.parametrize("box", [31, 8, 48, 64])
def test_boxes_that_cannot_be(table: Path, tmp_path: Path, box: int) -> None:
    with pytest.raises(UsageError, match="even, at least 16 and less than the images' 48"):
        downsample(read_particles(table), box, tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_command(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "a folder"
    with pytest.raises(SystemExit) as stop:
        main(["downsample", str(table), "--out", str(out), "--box", str(SMALL)])
    assert not stop.value.code
    assert "48 pixels of 2 Angstrom -> 32 of 3" in capsys.readouterr().out
    assert len(read_particles(out / "particles.star")) == COUNT
