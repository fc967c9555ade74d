"""Fourier-cropped stacks: the same field, the same coefficients, the same poses and CTFs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.cli.convert import Format, convert
from cryospin.cli.main import main
from cryospin.errors import BadDataError, UsageError
from cryospin.evaluate.poses import match_particles
from cryospin.fourier.disk import FourierDisk, images_to_coefficients
from cryospin.io.cryosparc_table import read_cs, with_columns, write_cs
from cryospin.io.formats import read_particles_of_any_kind
from cryospin.io.mrc import StackWriter, read_images
from cryospin.io.relion import read_particles, write_new_particles, write_particles
from cryospin.io.relion_optics import ASSUMED
from cryospin.io.star import StarBlock, read_star
from cryospin.io.star_writer import write_star
from cryospin.optics import CtfParameters, Optics
from cryospin.particles.audit import audit_table
from cryospin.particles.contrast import inverted
from cryospin.particles.downsample import downsample
from cryospin.particles.half_sets import split_half_sets
from cryospin.particles.picks import tube_pairs
from cryospin.types import Poses
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
        columns = star.blocks["particles"].columns
        columns[name] = [*columns[name][:2], "None", *columns[name][3:]]
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


def richer(table: Path, dialect: str, names: list[str] | None = None) -> Path:
    """The table in its dialect, rows in another order than the stack's images, with columns
    of all kinds. `names`: of the images, row by row."""
    stars = table.with_name("rich.star")
    convert(table, stars, to=Format(dialect))
    star = read_star(stars)
    name = next(k for k, b in star.blocks.items() if "rlnImageName" in b.columns)
    columns = star.blocks[name].columns
    order = np.random.default_rng(3).permutation(COUNT)
    columns = {label: [tokens[row] for row in order] for label, tokens in columns.items()}
    columns |= {
        "rlnGroupName": [f'"group {i // 3}"' for i in range(COUNT)],
        "rlnHelicalTubeID": [str(i // 2) for i in range(COUNT)],
        "rlnClassNumber": ["1"] * COUNT,
        "rlnOriginXPrior": [f"{i}.5" for i in range(COUNT)],
        "rlnHelicalTrackLength": [str(48 * i) for i in range(COUNT)],
        "rlnHelicalTrackLengthAngst": [str(96 * i) for i in range(COUNT)],
        "rlnReconstructImageName": [f"{i + 1}@whole.mrcs" for i in range(COUNT)],
        "rlnNobodyKnows": [f"0x{i:02X}" for i in range(COUNT)],
    }
    if names is not None:
        columns["rlnImageName"] = names
    star.blocks[name] = StarBlock(columns=columns)
    if dialect == "relion-3.1":
        optics = star.blocks["optics"].columns
        optics |= {
            "rlnOpticsGroupName": ["krios_day1", "krios_day2"],
            "rlnBeamTiltX": ["1.2", "-0.30"],
            "rlnMicrographPixelSize": ["0.5", "0.5"],
        }
        numbers = {"1": "7", "2": "4"}
        for columns in (optics, star.blocks[name].columns):
            columns["rlnOpticsGroup"] = [numbers[k] for k in columns["rlnOpticsGroup"]]
    write_star(stars, star)
    return stars


CHANGED = {
    "rlnImageName",
    "rlnImageSize",
    "rlnImagePixelSize",
    "rlnOriginX",
    "rlnOriginY",
    "rlnOriginXPrior",
    "rlnHelicalTrackLength",
    "rlnMagnification",
}


@pytest.mark.parametrize("dialect", ["relion-3.0", "relion-3.1"])
def test_columns_that_hold_on_fewer_pixels_stay(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], dialect: str
) -> None:
    rich = richer(table, dialect)
    with pytest.raises(SystemExit) as stop:
        main(["downsample", str(rich), "--out", str(tmp_path / "small"), "--box", str(SMALL)])
    assert not stop.value.code
    assert "leaves out rlnReconstructImageName" in capsys.readouterr().out
    before, after = read_star(rich), read_star(tmp_path / "small" / "particles.star")
    assert [*before.blocks] == [*after.blocks]
    for name, block in before.blocks.items():
        left, right = block.columns, after.blocks[name].columns
        for label in left.keys() - CHANGED - {"rlnReconstructImageName"}:
            assert left[label] == right[label], label
        assert right.keys() - left.keys() <= {"rlnImageOriginalName", ASSUMED}
        for label in ("rlnOriginX", "rlnOriginY", "rlnOriginXPrior", "rlnHelicalTrackLength"):
            if label in left:
                values = np.array([*map(float, left[label])]) * SMALL / BOX
                np.testing.assert_allclose([*map(float, right[label])], values, atol=1e-6)
    stack, small = read_particles(rich), read_particles(tmp_path / "small" / "particles.star")
    assert (small.box, small.pixel_size_angstrom) == (SMALL, pytest.approx(PIXEL * BOX / SMALL))
    assert small.original_names == stack.uids
    assert stack.poses is not None and small.poses is not None
    torch.testing.assert_close(
        small.poses.shifts_angstrom, stack.poses.shifts_angstrom, rtol=0, atol=1e-5
    )
    assert stack.coordinates_angstrom is not None and small.coordinates_angstrom is not None
    np.testing.assert_allclose(small.coordinates_angstrom, stack.coordinates_angstrom, rtol=1e-6)
    # each row has its own image
    ours, theirs = (read_images(s, np.arange(COUNT)).mean((1, 2)) for s in (small, stack))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def per_micrograph(folder: Path, whole: Path) -> list[str]:
    """The images of `whole` as stacks of two, in folders of two jobs; names in their order."""
    stack = read_particles(whole)
    pixels = read_images(stack, np.argsort(stack.slice_index)).numpy()
    names = []
    for number, start in enumerate(range(0, COUNT, 2)):
        place = f"job{number % 2}/m{number // 2}.mrcs"
        (folder / place).parent.mkdir(exist_ok=True)
        part = pixels[start : start + 2]
        with StackWriter(folder / place, BOX, PIXEL, len(part)) as writer:
            writer.append(part)
        names += [f"{i + 1:06d}@./{place}" for i in range(len(part))]
    return names


@pytest.mark.parametrize("stack_name", ["a.mrcs", "particles_32.mrcs", "particles.mrcs", None])
@pytest.mark.parametrize("dialect", ["relion-3.0", "relion-3.1"])
def test_the_original_is_found_again(
    table: Path, tmp_path: Path, dialect: str, stack_name: str | None
) -> None:
    """Of one stack or several, a subset, downsampled twice: poses go to their own particles."""
    if stack_name is not None:
        (tmp_path / "a.mrcs").rename(tmp_path / stack_name)
        table.write_text(table.read_text().replace("a.mrcs", stack_name))
        rich = richer(table, dialect)
    else:
        names = np.array(per_micrograph(tmp_path, table))
        rich = richer(table, dialect, [*np.random.default_rng(3).permutation(names)])
    stack = read_particles(rich)
    some = np.array([5, 0, 3, 1])
    first = read_particles(downsample(stack.select(some), 32, tmp_path / "first"))
    second = read_particles(downsample(first.select(np.array([2, 3, 0])), 16, tmp_path / "second"))
    assert first.poses is not None
    for small, rows in ((first, some), (second, some[[2, 3, 0]])):
        folder = small.source.parent
        zeros, ones = torch.zeros(len(small), 2).double(), torch.ones(len(small))
        poses = Poses(random_turns(len(small), 5), zeros, ones)
        write_particles(folder / "found.star", small, poses, None)
        convert(folder / "found.star", tmp_path / "back.star", like=rich)
        back = read_particles(tmp_path / "back.star")
        assert back.uids == tuple(stack.uids[row] for row in rows)
        assert back.poses is not None and back.box == BOX
        torch.testing.assert_close(back.poses.rotations, poses.rotations, rtol=0, atol=1e-6)
        columns, before = back.table.particles.columns, stack.table.particles.columns
        for label in ("rlnNobodyKnows", "rlnImageName", "rlnReconstructImageName"):
            assert columns[label] == [before[label][row] for row in rows]
        estimated, true = match_particles(small, stack)
        assert true.uids == back.uids and estimated.uids == small.uids
    assert match_particles(second, first)[1].uids == tuple(first.uids[row] for row in (2, 3, 0))
    assert not {*second.uids, *first.uids} & {*stack.uids}


def test_an_image_in_several_rows_is_written_once(table: Path, tmp_path: Path) -> None:
    """So that it is seen to be one particle."""
    stack = read_particles(table)
    rows = np.array([2, 2, 0, 2, 1])
    small = read_particles(downsample(stack.select(rows), SMALL, tmp_path / "small"))
    assert [uid[:6] for uid in small.uids] == [f"{i:06d}" for i in (1, 1, 2, 1, 3)]
    assert small.original_names == tuple(stack.uids[row] for row in rows)
    with pytest.raises(BadDataError, match="also in row 1"):
        audit_table(small, min_particles=1)
    ours = read_images(small, np.arange(5)).mean((1, 2))
    torch.testing.assert_close(ours, read_images(stack, rows).mean((1, 2)), rtol=0, atol=1e-5)


def test_particles_of_cryosparc(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both tables, the .cs with all its columns; uids, poses and places as they were."""
    rich = richer(table, "relion-3.1")
    convert(rich, tmp_path / "in.cs")
    rows = read_cs(tmp_path / "in.cs")
    extra = {
        "strange/thing": np.arange(2.0 * COUNT).reshape(COUNT, 2),
        "blob/import_sig": rows["uid"],
    }
    write_cs(tmp_path / "in.cs", with_columns(rows, extra))
    with pytest.raises(SystemExit):
        main(["downsample", str(tmp_path / "in.cs"), "--out", str(tmp_path / "s"), "--box", "32"])
    assert "leaves out uid, " in capsys.readouterr().out
    stack = read_particles_of_any_kind(tmp_path / "in.cs")
    before, after = read_cs(tmp_path / "in.cs"), read_cs(tmp_path / "s" / "particles.cs")
    blobs = {f"blob/{name}" for name in ("path", "idx", "shape", "psize_A", "import_sig")}
    for name in {*(before.dtype.names or ())} - blobs:
        assert np.array_equal(before[name], after[name]), name
    assert "blob/import_sig" not in (after.dtype.names or ())
    for name in ("particles.star", "particles.cs"):
        small = read_particles_of_any_kind(tmp_path / "s" / name)
        assert (small.box, small.pixel_size_angstrom) == (SMALL, pytest.approx(3.0))
        assert small.original_names == stack.uids and small.poses is not None
        assert stack.poses is not None
        shifts = small.poses.shifts_angstrom, stack.poses.shifts_angstrom
        torch.testing.assert_close(*shifts, rtol=0, atol=1e-4)
        ours, theirs = (read_images(s, np.arange(COUNT)).mean((1, 2)) for s in (small, stack))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
        convert(tmp_path / "s" / name, tmp_path / "back.star", like=rich)
        assert read_particles(tmp_path / "back.star").uids == stack.uids
        # there and back through the other program, too
        other = "x.cs" if name.endswith("star") else "x.star"
        convert(tmp_path / "s" / name, tmp_path / other)
        convert(tmp_path / other, tmp_path / "back.cs", like=tmp_path / "in.cs")
        assert np.array_equal(read_cs(tmp_path / "back.cs")["uid"], before["uid"])


def test_an_earlier_table_does_not_stand_beside(table: Path, tmp_path: Path) -> None:
    convert(table, tmp_path / "in.cs")
    downsample(read_particles_of_any_kind(tmp_path / "in.cs"), 32, tmp_path / "s")
    downsample(read_particles(table), 16, tmp_path / "s")
    assert not (tmp_path / "s" / "particles.cs").exists()
    assert read_particles(tmp_path / "s" / "particles.star").box == 16


def _cut_off(stack: Path) -> None:
    stack.write_bytes(stack.read_bytes()[:-1])


def _of_too_few(stack: Path) -> None:
    with StackWriter(stack, BOX, PIXEL, COUNT - 1) as writer:
        writer.append(np.zeros((COUNT - 1, BOX, BOX)))


@pytest.mark.parametrize("harm", [Path.unlink, _cut_off, _of_too_few])
def test_a_stack_that_cannot_be_read_is_refused_before_anything_is_written(
    table: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    stack = read_particles(table)
    downsample(stack, SMALL, tmp_path / "s")
    before = {file: file.read_bytes() for file in (tmp_path / "s").iterdir()}
    harm(tmp_path / "a.mrcs")
    for folder in ("s", "new"):
        with pytest.raises(BadDataError):
            downsample(stack, SMALL, tmp_path / folder)
    assert {file: file.read_bytes() for file in (tmp_path / "s").iterdir()} == before
    assert not (tmp_path / "new").exists()


def of_cryosparc(table: Path, columns: dict[str, np.ndarray]) -> Path:
    """The particles of `table` as a .cs with these columns set."""
    convert(table, table.with_suffix(".cs"))
    write_cs(table.with_suffix(".cs"), with_columns(read_cs(table.with_suffix(".cs")), columns))
    return table.with_suffix(".cs")


def test_filaments_of_cryosparc_stay_tubes(table: Path, tmp_path: Path) -> None:
    # three particles a micrograph
    uids = np.array([9, 9, 0, 4, 4, 0, 7], "<u8") * 10**15
    path = of_cryosparc(table, {"filament/filament_uid": uids})
    stack = read_particles_of_any_kind(path)
    small = read_particles(downsample(stack, SMALL, tmp_path / "small"))
    numbers = small.table.particles.columns["rlnHelicalTubeID"]
    assert numbers[0] == numbers[1] and numbers[3] == numbers[4]
    assert len({*numbers}) == 5, "particles of no filament are in none together"
    pairs = (sorted(map(tuple, tube_pairs(each).tolist())) for each in (small, stack))
    assert [*pairs] == [[(0, 1), (3, 4)]] * 2


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("column", ["alignments3D/pose", "alignments3D/shift"])
def test_a_pose_of_cryosparc_that_is_no_number_is_refused(
    table: Path, tmp_path: Path, column: str, value: float
) -> None:
    """As by convert: a STAR file cannot leave out a single one."""
    convert(table, tmp_path / "plain.cs")
    values = read_cs(tmp_path / "plain.cs")[column]
    values[2, 1] = value
    stack = read_particles_of_any_kind(of_cryosparc(table, {column: values}))
    with pytest.raises(BadDataError, match="is no number") as refusal:
        downsample(stack, SMALL, tmp_path / "small")
    assert (refusal.value.row, refusal.value.column) == (3, column)
    assert not (tmp_path / "small").exists()
    some = downsample(stack.select(np.array([0, 3])), SMALL, tmp_path / "some")
    assert len(read_particles(some)) == 2


def without_a_pixel_size(table: Path, kind: str) -> Path:
    """A table whose micrographs' pixel size nobody tells."""
    if kind == "cryosparc":
        rng = np.random.default_rng(5)
        return of_cryosparc(table, {
            "location/micrograph_shape": np.full((COUNT, 2), 1000, "<u4"),
            "location/center_x_frac": rng.random(COUNT).astype("<f4"),
            "location/center_y_frac": rng.random(COUNT).astype("<f4"),
        })  # fmt: skip
    convert(table, table.with_name("other.star"), to=Format(kind))
    return table.with_name("other.star")


@pytest.mark.parametrize("kind", ["relion-3.0", "relion-3.1", "cryosparc"])
def test_a_pixel_size_that_is_assumed_stays_an_assumption(
    table: Path, tmp_path: Path, kind: str
) -> None:
    """Places stay where they are, however often images are made smaller, in whatever table."""
    stack = read_particles_of_any_kind(without_a_pixel_size(table, kind))
    assert stack.coordinates_angstrom is not None
    table = stack.source
    for box, folder in ((SMALL, tmp_path / "once"), (16, tmp_path / "twice")):
        table = downsample(read_particles_of_any_kind(table), box, folder)
        convert(folder / "particles.star", folder / "30.star", to=Format.relion_30)
        convert(folder / "30.star", folder / "31.star", to=Format.relion_31)
        for path in folder.glob("*.star"):
            small = read_particles(path)
            assert "rlnMicrographPixelSize" not in path.read_text()
            assert {group.micrograph_pixel_size_angstrom for group in small.optics} == {None}
            for name in ("coordinates_angstrom", "coordinates_pixel"):
                found, expected = getattr(small, name), getattr(stack, name)
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
    if kind == "cryosparc":
        small = read_particles_of_any_kind(tmp_path / "once" / "particles.cs")
        assert "location/micrograph_psize_A" not in small.table.rows.dtype.names
        np.testing.assert_allclose(
            small.coordinates_angstrom, stack.coordinates_angstrom, rtol=1e-5
        )
        again = read_particles(downsample(small, 16, tmp_path / "again"))
        np.testing.assert_allclose(
            again.coordinates_angstrom, stack.coordinates_angstrom, rtol=1e-5
        )
