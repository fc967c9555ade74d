import json
import os
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cryospin.errors import BadDataError, CryospinError
from cryospin.io.conventions import euler_to_rotation
from cryospin.io.formats import poses_of, read_particles_of_any_kind
from cryospin.io.losses import losses
from cryospin.io.mrc import StackWriter, read_images
from cryospin.io.relion import read_particles, write_new_particles, write_particles
from cryospin.io.star import read_star
from cryospin.io.table_writer import write_table
from cryospin.optics import CtfParameters, Optics
from cryospin.particles.audit import audit_table
from cryospin.types import Poses

RELION_31 = """
# version 30001

data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnVoltage #3
_rlnSphericalAberration #4
_rlnAmplitudeContrast #5
_rlnImagePixelSize #6
_rlnImageSize #7
_rlnMtfFileName #8
2 second 200.0 2.7 0.07 1.50 8 mtf.star
1 first  300.0 2.7 0.10 1.50 8 mtf.star

# version 30001

data_particles

loop_
_rlnImageName #1
_rlnMicrographName #2
_rlnCoordinateX #3
_rlnCoordinateY #4
_rlnDefocusU #5
_rlnDefocusV #6
_rlnDefocusAngle #7
_rlnOpticsGroup #8
_rlnSomethingNew #9
_rlnAngleRot #10
_rlnAngleTilt #11
_rlnAnglePsi #12
_rlnOriginXAngst #13
_rlnOriginYAngst #14
_rlnRandomSubset #15
000003@a.mrcs m1.mrc 10.0 20.0 15000.10 14000.2 30 1 0x1F 10 20 30 1.5 -3.0 1
000001@a.mrcs m1.mrc 30.0 20.0 15000.10 14000.2 30 1 1e-3 11 21 31 0.0 0.75 2
000002@b.mrcs m2.mrc 50.5 20.0 25000.10 24000.2 60 2 "x y" 12 22 32 0.0 0 1
"""

RELION_30 = """
data_

loop_
_rlnImageName #1
_rlnDefocusU #2
_rlnDefocusV #3
_rlnDefocusAngle #4
_rlnVoltage #5
_rlnSphericalAberration #6
_rlnAmplitudeContrast #7
_rlnMagnification #8
_rlnDetectorPixelSize #9
_rlnPhaseShift #10
_rlnAngleRot #11
_rlnAngleTilt #12
_rlnAnglePsi #13
_rlnOriginX #14
_rlnOriginY #15
1@a.mrcs 15000 14000 30 300 2.7 0.1 10000 1.5 90 10 20 30 1.0 -2.0
2@a.mrcs 15000 14000 30 300 2.7 0.1 10000 1.5 0 10 20 30 0.0 0.5
"""


def table(folder: Path, text: str = RELION_31, stacks: tuple[str, ...] = ("a", "b")) -> Path:
    """A STAR file and its stacks, of 3 images of 8 pixels; image i of a stack is full of i."""
    for stack in stacks:
        with StackWriter(folder / f"{stack}.mrcs", 8, 1.5, 3) as writer:
            writer.append(np.arange(3)[:, None, None] * np.ones((8, 8)))
    path = folder / "in.star"
    path.write_text(text)
    return path


def test_relion_31(tmp_path: Path) -> None:
    stack = read_particles(table(tmp_path))
    assert len(stack) == 3
    assert stack.uids == ("000003@a.mrcs", "000001@a.mrcs", "000002@b.mrcs")
    assert stack.files == (tmp_path / "a.mrcs", tmp_path / "b.mrcs")
    assert stack.slice_index.tolist() == [2, 0, 1]
    assert (stack.box, stack.pixel_size_angstrom) == (8, 1.5)
    assert [group.voltage_kv for group in stack.optics] == [300.0, 200.0]
    assert stack.optics_group.tolist() == [0, 0, 1]
    assert stack.ctf.voltage_kv.tolist() == [300.0, 300.0, 200.0]
    assert stack.ctf.amplitude_contrast.tolist() == pytest.approx([0.1, 0.1, 0.07])
    assert stack.ctf.phase_shift_degrees.tolist() == [0.0, 0.0, 0.0]
    assert stack.half_set is not None and stack.half_set.tolist() == [1, 2, 1]
    assert stack.micrographs is not None and stack.micrographs.tolist() == ["m1.mrc"] * 2 + [
        "m2.mrc"
    ]
    assert stack.coordinates_angstrom is not None
    assert stack.coordinates_angstrom[2].tolist() == [75.75, 30.0]
    assert stack.poses is not None
    assert stack.poses.shifts_angstrom.tolist() == [[-1.5, 3.0], [0.0, -0.75], [0.0, 0.0]]
    expected = euler_to_rotation(torch.tensor([11.0, 21.0, 31.0]))
    assert torch.allclose(stack.poses.rotations[1], expected)
    assert read_images(stack, np.arange(3))[:, 0, 0].tolist() == [2.0, 0.0, 1.0]


def test_relion_30(tmp_path: Path) -> None:
    stack = read_particles(table(tmp_path, RELION_30))
    assert (stack.box, stack.pixel_size_angstrom) == (8, 1.5)
    assert stack.uids == ("000001@a.mrcs", "000002@a.mrcs")
    assert stack.ctf.phase_shift_degrees.tolist() == [90.0, 0.0]
    assert stack.poses is not None
    assert stack.poses.shifts_angstrom.tolist() == [[-1.5, 3.0], [0.0, -0.75]]
    assert stack.half_set is stack.micrographs is stack.coordinates_angstrom is None


def test_one_image_per_file(tmp_path: Path) -> None:
    stack = read_particles(table(tmp_path, RELION_30.replace("1@a", "a").replace("2@a", "b")))
    assert stack.files == (tmp_path / "a.mrcs", tmp_path / "b.mrcs")
    assert stack.slice_index.tolist() == [0, 0]


ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
GROUPS = (
    (RELION_31, ANGLES, 2),
    (RELION_30, ANGLES, 2),
    (RELION_31, ("rlnOriginXAngst", "rlnOriginYAngst"), 1),
    (RELION_30, ("rlnOriginX", "rlnOriginY"), 1),
    (RELION_31, ("rlnCoordinateX", "rlnCoordinateY"), 1),
    (RELION_31, ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"), 2),
    (RELION_30, ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"), 2),
)


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        (text, gone)
        for text, group, most in GROUPS
        for count in range(1, most + 1)
        for gone in combinations(group, count)
        # without these an angle in the plane is left, as picking leaves it
        if gone != ANGLES[:2]
    ],
)
def test_a_part_of_a_group_names_what_is_missing(
    tmp_path: Path, text: str, gone: tuple[str, ...]
) -> None:
    for name in gone:
        text = text.replace(f"_{name} #", f"_rlnNot{name} #")
    with pytest.raises(BadDataError, match="no such column") as refusal:
        read_particles(table(tmp_path, text))
    assert refusal.value.column == gone[0]
    assert refusal.value.fix is not None
    assert "estimate" in refusal.value.fix or all(name in refusal.value.fix for name in gone)


@pytest.mark.parametrize("gone", [ANGLES[:2], ANGLES])
def test_an_angle_in_the_plane_is_no_pose(tmp_path: Path, gone: tuple[str, ...]) -> None:
    """Picking with templates leaves rlnAnglePsi alone."""
    text = RELION_31
    for name in gone:
        text = text.replace(f"_{name} #", f"_rlnNot{name} #")
    stack = read_particles(table(tmp_path, text))
    assert stack.poses is None and not stack.unread


@pytest.mark.parametrize("name", ["rlnOriginX", "rlnOriginY"])
def test_half_of_the_other_dialects_origins_is_not_needed(tmp_path: Path, name: str) -> None:
    text = RELION_31.replace("_rlnSomethingNew", f"_{name}").replace('"x y"', "7")
    poses = read_particles(table(tmp_path, text)).poses
    assert poses is not None and poses.shifts_angstrom[0].tolist() == [-1.5, 3.0]


def test_stacks_beside_the_table_above_it_or_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tmp_path / "project" / "Refine3D" / "job1"
    job.mkdir(parents=True)
    path = table(job, stacks=())
    table(tmp_path / "project")
    assert read_particles(path).files[0] == tmp_path / "project" / "a.mrcs"
    table(job, stacks=("a",))
    assert read_particles(path).files == (job / "a.mrcs", tmp_path / "project" / "b.mrcs")
    here = tmp_path / "here"
    here.mkdir()
    table(here, RELION_31.replace("@", "@new/"), stacks=())
    (tmp_path / "cwd" / "new").mkdir(parents=True)
    table(tmp_path / "cwd" / "new")
    monkeypatch.chdir(tmp_path / "cwd")
    assert read_particles(here / "in.star").files[0].resolve() == tmp_path / "cwd/new/a.mrcs"
    os.chdir(job)
    assert read_particles("in.star").files[0].resolve() == job / "a.mrcs"


def test_a_table_without_its_stacks_can_be_read_if_it_tells_the_box(tmp_path: Path) -> None:
    assert read_particles(table(tmp_path, stacks=())).box == 8
    with pytest.raises(BadDataError, match=r"a\.mrcs does not exist, and no column rlnImageSize"):
        read_particles(table(tmp_path, RELION_30, stacks=()))


@pytest.mark.parametrize("text", [RELION_31, RELION_30])
def test_reading_and_writing_changes_no_token(tmp_path: Path, text: str) -> None:
    path = table(tmp_path, text)
    write_particles(tmp_path / "out.star", read_particles(path), None, None)
    assert read_star(tmp_path / "out.star") == read_star(path)


@pytest.mark.parametrize("text", [RELION_31, RELION_30])
def test_poses_are_set_and_the_rest_survives(tmp_path: Path, text: str) -> None:
    path = table(tmp_path, text)
    stack = read_particles(path)
    count = len(stack)
    generator = torch.Generator().manual_seed(1)
    poses = Poses(
        euler_to_rotation(torch.rand(count, 3, generator=generator) * 170.0),
        torch.randn(count, 2, generator=generator),
        torch.rand(count, generator=generator),
    )
    write_particles(tmp_path / "out.star", stack, poses, np.array([1, 2, 2])[:count])
    before, after = read_star(path), read_star(tmp_path / "out.star")
    name = "particles" if "particles" in before.blocks else ""
    assert set(after.blocks) == set(before.blocks)
    ours = ("rlnAngle", "rlnOrigin", "rlnRandomSubset", "rlnMaxValue")
    for column, tokens in before.blocks[name].columns.items():
        if not column.startswith(ours):
            assert after.blocks[name].columns[column] == tokens
    assert all(
        column.startswith(ours)
        for column in after.blocks[name].columns.keys() - before.blocks[name].columns.keys()
    )
    again = read_particles(tmp_path / "out.star")
    assert again.poses is not None and again.half_set is not None
    # six decimals of a degree, of an Angstrom or pixel
    assert torch.allclose(again.poses.rotations, poses.rotations, atol=1e-7)
    assert torch.allclose(again.poses.shifts_angstrom.float(), poses.shifts_angstrom, atol=2e-6)
    assert torch.allclose(again.poses.confidence.float(), poses.confidence, atol=1e-6)
    assert again.half_set.tolist() == [1, 2, 2][:count]


def test_rows_follow_the_uid_not_their_order(tmp_path: Path) -> None:
    stack = read_particles(table(tmp_path)).select(np.array([2, 0]))
    write_particles(tmp_path / "out.star", stack, stack.poses, None)
    columns = read_star(tmp_path / "out.star").blocks["particles"].columns
    assert columns["rlnImageName"] == ["000002@b.mrcs", "000003@a.mrcs"]
    assert columns["rlnSomethingNew"] == ['"x y"', "0x1F"]
    assert [float(value) for value in columns["rlnAnglePsi"]] == pytest.approx([32.0, 30.0])


def test_origins_of_both_dialects_do_not_contradict(tmp_path: Path) -> None:
    text = RELION_31.replace("_rlnSomethingNew", "_rlnOriginX").replace('"x y"', "7")
    stack = read_particles(table(tmp_path, text.replace("0x1F", "7")))
    write_particles(tmp_path / "out.star", stack, stack.poses, None)
    columns = read_star(tmp_path / "out.star").blocks["particles"].columns
    assert [float(value) for value in columns["rlnOriginX"]] == [1.0, 0.0, 0.0]
    assert "rlnOriginY" not in columns


def test_new_particles(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(2)
    values = [torch.rand(4, generator=generator) for _ in range(4)]
    group = np.array([0, 1, 1, 0])
    optics = (Optics("a", 1.5, 300.0, 2.7, 0.1), Optics("b", 1.5, 200.0, 2.7, 0.07))
    ctf = CtfParameters(
        1e4 + values[0],
        2e4 + values[1],
        values[2],
        values[3],
        torch.tensor([optics[i].voltage_kv for i in group]),
        torch.tensor([optics[i].spherical_aberration_mm for i in group]),
        torch.tensor([optics[i].amplitude_contrast for i in group]),
    )
    poses = Poses(
        euler_to_rotation(torch.rand(4, 3, generator=generator)),
        torch.rand(4, 2, generator=generator, dtype=torch.float64),
        torch.ones(4, dtype=torch.float64),
    )
    names = [f"{i + 1:06d}@my stack.mrcs" for i in range(4)]
    xy = np.arange(8.0).reshape(4, 2)
    path = tmp_path / "new.star"
    write_new_particles(path, names, optics, 8, group, ctf, poses, ["m.mrc"] * 4, xy)
    stack = read_particles(path)
    assert stack.uids == tuple(names)
    assert (stack.box, stack.pixel_size_angstrom, len(stack.optics)) == (8, 1.5, 2)
    assert stack.optics_group.tolist() == group.tolist()
    for name in ("defocus_u_angstrom", "phase_shift_degrees", "voltage_kv", "amplitude_contrast"):
        assert torch.allclose(getattr(stack.ctf, name), getattr(ctf, name), rtol=1e-7, atol=1e-6)
    assert stack.poses is not None and stack.coordinates_pixel is not None
    assert torch.allclose(stack.poses.rotations, poses.rotations, atol=1e-7)
    assert torch.allclose(stack.poses.shifts_angstrom, poses.shifts_angstrom, atol=1e-6)
    np.testing.assert_array_equal(stack.coordinates_pixel, xy)


@pytest.mark.parametrize(
    ("old", "new", "row", "column", "problem"),
    [
        ("15000.10 14000.2 30 1 1e-3", "15k 14000.2 30 1 1e-3", 2, "rlnDefocusU", "'15k' is no"),
        ("25000.10", "nan", 3, "rlnDefocusU", "'nan' is no number"),
        ("0.10 1.50", "0.10 big", 2, "rlnImagePixelSize", "(of data_optics)"),
        ("0.10 1.50", "0.10 1.60", None, "rlnImagePixelSize", "pixel sizes: 1.5, 1.6"),
        ("0.10 1.50 8", "0.10 1.50 10", 3, "rlnImageSize", "boxes differ: 8 and 10"),
        ("24000.2 60 2", "24000.2 60 3", 3, "rlnOpticsGroup", "group 3 is not in"),
        ("_rlnOpticsGroup #8", "_rlnOther #8", None, "rlnOpticsGroup", "missing"),
        ("_rlnDefocusV", "_rlnOther", None, "rlnDefocusV", "no such column"),
        ("_rlnVoltage", "_rlnOther", None, "rlnVoltage", "no such column"),
        ("_rlnImagePixelSize", "_rlnOther", None, "rlnImagePixelSize", "no such column"),
        ("_rlnImageName", "_rlnOther", None, "rlnImageName", "no table with image names"),
        ("000001@a", "000000@a", 2, "rlnImageName", "'000000@a.mrcs' is no image name"),
        ("000001@a", "x@a", 2, "rlnImageName", "'x@a.mrcs' is no image name"),
        ("000001@a.mrcs", "000001@", 2, "rlnImageName", "'000001@' is no image name"),
        ("000001@a", "9" * 30 + "@a", 2, "rlnImageName", "is no image name"),
        (
            "_rlnMtfFileName #8\n2 second 200.0 2.7 0.07 1.50 8 mtf.star\n1 first  300.0 2.7 0.10 "
            "1.50 8 mtf.star",
            "_rlnCtfDataAreCtfPremultiplied #8\n2 b 200 2.7 0.07 1.5 8 1\n1 a 300 2.7 0.1 1.5 8 0",
            3,
            "rlnCtfDataAreCtfPremultiplied",
            "multiplied by their CTF",
        ),
        ("_rlnSomethingNew", "_rlnVoltage", 1, "rlnVoltage", "'0x1F' is no number"),
    ],
)
def test_refusals_name_the_place(
    tmp_path: Path, old: str, new: str, row: int | None, column: str, problem: str
) -> None:
    assert old in RELION_31
    path = table(tmp_path, RELION_31.replace(old, new, 1))
    with pytest.raises(BadDataError) as refusal:
        read_particles(path)
    assert refusal.value.column == column
    assert refusal.value.row == row
    assert problem in refusal.value.problem
    assert refusal.value.file == path
    assert refusal.value.fix


def test_a_table_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "in.star"
    path.write_text(RELION_30.split("1@a")[0])
    with pytest.raises(BadDataError, match="has no rows"):
        read_particles(path)


cells = sorted(
    set(RELION_31.split())
    | {"", "0", "-1", "1e400", "@", "٣@a.mrcs", "9" * 30, f"{10**30}@a.mrcs", "1@" + "x" * 300}
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(edits=st.lists(st.tuples(st.integers(0, 200), st.sampled_from(cells)), max_size=3))
def test_malformed_tables_raise_our_errors_only(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, str]]
) -> None:
    lines = [line.split(" ") for line in RELION_31.split("\n")]
    places = [(i, j) for i, line in enumerate(lines) for j in range(len(line))]
    for place, cell in edits:
        row, column = places[place % len(places)]
        lines[row][column] = cell
    folder = tmp_path_factory.getbasetemp() / "malformed"
    if not folder.exists():
        folder.mkdir()
        table(folder)
    (folder / "in.star").write_text("\n".join(" ".join(line) for line in lines))
    try:
        read_particles(folder / "in.star")
    except CryospinError as error:
        assert error.exit_code == 3


def as_pairs(text: str, block: str, row: int) -> str:
    """The table of a block with this row only, written as name-value pairs."""
    before, _, rest = text.partition(f"data_{block}\n")
    loop, mark, after = rest.partition("\n# version")
    lines = [line for line in loop.split("\n") if line and line != "loop_"]
    names = [line.split()[0] for line in lines if line.startswith("_")]
    values = [line.split() for line in lines if not line.startswith("_")][row]
    pairs = "".join(f"{name}\t\t\t{value}\n" for name, value in zip(names, values, strict=True))
    return f"{before}data_{block}\n\n{pairs}\n{mark}{after}"


ONE_GROUP = RELION_31.replace("2 second 200.0 2.7 0.07 1.50 8 mtf.star\n", "").replace(
    '60 2 "x y"', '60 1 "x_y"'
)


@pytest.mark.parametrize("blocks", [("optics",), ("particles",), ("optics", "particles")])
def test_tables_of_one_row_written_as_pairs(tmp_path: Path, blocks: tuple[str, ...]) -> None:
    """RELION reads and the starfile package writes them so."""
    text = ONE_GROUP
    for block in blocks:
        text = as_pairs(text, block, 0)
    path = table(tmp_path, text)
    stack, rows = read_particles(path), slice(0, 1 if "particles" in blocks else 3)
    expected = read_particles(table(tmp_path, ONE_GROUP))
    assert stack.uids == expected.uids[rows]
    assert stack.optics == expected.optics and stack.box == 8
    assert torch.equal(stack.ctf.voltage_kv, expected.ctf.voltage_kv[rows])
    assert stack.poses is not None and expected.poses is not None
    assert torch.equal(stack.poses.rotations, expected.poses.rotations[rows])
    path.write_text(text)
    write_particles(tmp_path / "out.star", stack, stack.poses, None)
    again = read_particles(tmp_path / "out.star")
    assert (again.uids, again.optics) == (stack.uids, stack.optics)
    for kind in ("relion-3.0", "relion-3.1", "cryosparc"):
        out = tmp_path / f"{kind}{'.cs' if kind == 'cryosparc' else '.star'}"
        write_table(out, stack, kind)
        assert read_particles_of_any_kind(out).uids == stack.uids


NO_NUMBERS = ("nan", "-nan", "inf", "<NA>", "None", '""', "''", "text", "1,5", "--")


@pytest.mark.parametrize("token", NO_NUMBERS)
@pytest.mark.parametrize(
    ("column", "what"),
    [
        ("rlnAngleRot", "poses"),
        ("rlnAngleTilt", "poses"),
        ("rlnAnglePsi", "poses"),
        ("rlnOriginXAngst", "poses"),
        ("rlnOriginYAngst", "poses"),
        ("rlnRandomSubset", "half-sets"),
        ("rlnCoordinateX", "coordinates"),
        ("rlnCoordinateY", "coordinates"),
        ("rlnMaxValueProbDistribution", "confidences"),
        ("rlnClassNumber", "classes"),
        ("rlnLogLikeliContribution", None),
    ],
)
def test_what_is_not_needed_does_not_refuse(
    tmp_path: Path, column: str, what: str | None, token: str
) -> None:
    """It is told of, and stays in the table as it is."""
    if f"_{column} " not in RELION_31:
        text = RELION_31.replace("_rlnSomethingNew", f"_{column}").replace("1e-3", token)
        text = text.replace("0x1F", "0.5").replace('"x y"', "0.25")
    else:
        text = with_value(RELION_31, column, token)
    stack = read_particles(table(tmp_path, text))
    assert set(stack.unread) == ({what} if what else set())
    for error in stack.unread.values():
        assert (error.row, error.column, error.file) == (2, column, tmp_path / "in.star")
        assert repr(token) in error.problem and error.fix
    known = [True, what != "poses", True]
    assert stack.poses is not None and stack.poses.known.tolist() == known
    assert (stack.half_set is None) == (what == "half-sets")
    assert stack.coordinates_pixel is not None
    placed = np.isfinite(stack.coordinates_pixel).all(axis=1).tolist()
    assert placed == [True, what != "coordinates", True]
    for kind in ("relion-3.1", "relion-3.0"):
        write_table(tmp_path / "out.star", stack, kind)
        name = column.replace("Angst", "") if kind == "relion-3.0" else column
        written = read_star(tmp_path / "out.star").blocks["particles"].columns
        assert written[name][1] == token
    if what == "poses":
        with pytest.raises(BadDataError, match="is no number") as refusal:
            poses_of(stack)
        assert (refusal.value.row, refusal.value.column) == (2, column)
        with pytest.raises(BadDataError, match="is no number"):
            write_table(tmp_path / "out.cs", stack, "cryosparc")
        # particles that have one are as good as ever
        assert len(poses_of(stack.select(np.array([2, 0])))) == 2
    else:
        write_table(tmp_path / "out.cs", stack, "cryosparc")
    if what == "confidences":
        assert stack.poses.confidence.tolist() == [0.5, 0.0, 0.25]


def with_value(text: str, column: str, token: str) -> str:
    """The second particle's value of a column."""
    number = int(text.split(f"_{column} #")[-1].split("\n")[0])
    row = next(line for line in text.split("\n") if line.startswith("000001@"))
    values = row.split()
    values[number - 1] = token
    return text.replace(row, " ".join(values))


def test_the_row_of_a_lost_pose_is_named_whichever_it_is(tmp_path: Path) -> None:
    text = with_value(RELION_31, "rlnAngleRot", "nan").replace("12 22 32", "12 nan 32")
    stack = read_particles(table(tmp_path, text)).select(np.array([0, 2]))
    with pytest.raises(BadDataError) as refusal:
        poses_of(stack)
    assert refusal.value.row == 3


def test_a_table_without_a_single_pose_has_none(tmp_path: Path) -> None:
    text = RELION_30.replace("10 20 30", "nan nan nan")
    stack = read_particles(table(tmp_path, text))
    assert stack.poses is None and stack.unread["poses"].column == "rlnAngleRot"


@pytest.mark.parametrize("token", ["0", "3", "-1", "1.5"])
def test_half_sets_that_are_not_two(tmp_path: Path, token: str) -> None:
    stack = read_particles(table(tmp_path, with_value(RELION_31, "rlnRandomSubset", token)))
    assert stack.half_set is None
    assert stack.unread["half-sets"].row == 2
    assert f"{token} is no half-set" in stack.unread["half-sets"].problem


@pytest.mark.parametrize("token", NO_NUMBERS)
@pytest.mark.parametrize(
    "column", ["rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnOpticsGroup"]
)
def test_what_is_needed_refuses(tmp_path: Path, column: str, token: str) -> None:
    path = table(tmp_path, with_value(RELION_31, column, token))
    with pytest.raises(BadDataError) as refusal:
        read_particles(path)
    assert (refusal.value.row, refusal.value.column) == (2, column)
    assert repr(token) in refusal.value.problem and refusal.value.fix


@pytest.mark.parametrize("column", [3, 4, 5, 6, 7])
def test_an_optics_group_that_no_particle_is_in_may_hold_anything(
    tmp_path: Path, column: int
) -> None:
    group = ["3", "third", "300", "2.7", "0.1", "1.5", "8", "mtf.star"]
    group[column - 1] = "None"
    text = RELION_31.replace("2 second", " ".join(group) + "\n2 second")
    expected = read_particles(table(tmp_path))
    assert read_particles(table(tmp_path, text)).optics == expected.optics


@pytest.mark.parametrize(
    ("column", "values", "row"),
    [
        ("rlnVoltage", ("300", "300", "300"), 3),
        ("rlnImagePixelSize", ("1.5", "1.6", "1.5"), 2),
        ("rlnAmplitudeContrast", ("0.1", "0.1", "0.1"), 3),
    ],
)
def test_particles_and_optics_that_contradict_each_other(
    tmp_path: Path, column: str, values: tuple[str, ...], row: int
) -> None:
    text = RELION_31.replace("_rlnSomethingNew", f"_{column}")
    for old, new in zip(("0x1F", "1e-3", '"x y"'), values, strict=True):
        text = text.replace(old, new)
    with pytest.raises(BadDataError, match="its optics group says") as refusal:
        read_particles(table(tmp_path, text))
    assert (refusal.value.column, refusal.value.row) == (column, row)


@pytest.mark.parametrize(
    ("column", "word"),
    [
        ("rlnAmplitudeContrast", "0.1, or 0.07"),
        ("rlnVoltage", "in kV"),
        ("rlnSphericalAberration", "in mm"),
        ("rlnDefocusU", "estimate the CTF"),
        ("rlnDefocusAngle", "estimate the CTF"),
    ],
)
def test_a_missing_column_is_added_and_only_defocus_is_estimated(
    tmp_path: Path, column: str, word: str
) -> None:
    with pytest.raises(BadDataError) as refusal:
        read_particles(table(tmp_path, RELION_31.replace(f"_{column} ", "_rlnOther ")))
    assert refusal.value.column == column
    assert refusal.value.fix is not None and word in refusal.value.fix
    assert ("estimate" in refusal.value.fix and "add" not in refusal.value.fix) == (
        "Defocus" in column
    )


@pytest.mark.parametrize("kind", ["mrcs", "mrc", "MRCS"])
def test_the_type_of_a_file_may_follow_its_name(tmp_path: Path, kind: str) -> None:
    plain = read_particles(table(tmp_path))
    path = table(tmp_path, RELION_31.replace(".mrcs m", f".mrcs:{kind} m"))
    stack = read_particles(path)
    assert (stack.uids, stack.files) == (plain.uids, plain.files)
    write_particles(tmp_path / "out.star", stack, None, None)
    assert read_star(tmp_path / "out.star") == read_star(path)


def test_particles_are_read_from_the_block_of_that_name(tmp_path: Path) -> None:
    other = "data_images\nloop_\n_rlnImageName\n1@c.mrcs\n\n"
    assert len(read_particles(table(tmp_path, other + RELION_31))) == 3


@pytest.mark.parametrize("linked", ["table", "folder", "folder above", "link to a link"])
def test_images_are_found_from_where_a_link_leads(tmp_path: Path, linked: str) -> None:
    """Beside the table itself, and in the project above it."""
    job, elsewhere = tmp_path / "project" / "Extract" / "job005", tmp_path / "work"
    job.mkdir(parents=True)
    elsewhere.mkdir()
    table(tmp_path / "project", stacks=("a",))
    table(job, stacks=("b",))
    given = elsewhere / "x"
    if linked == "table":
        given.symlink_to(job / "in.star")
    elif linked == "link to a link":
        (elsewhere / "y").symlink_to(job / "in.star")
        given.symlink_to("y")
    else:
        given.symlink_to(job if linked == "folder" else job.parent)
        given = given / ("in.star" if linked == "folder" else "job005/in.star")
    stack = read_particles(given)
    assert [file.resolve() for file in stack.files] == [
        tmp_path / "project" / "a.mrcs",
        job / "b.mrcs",
    ]
    assert read_images(stack, np.arange(3))[:, 0, 0].tolist() == [2.0, 0.0, 1.0]
    # what is found from the path as it was given comes first
    table(elsewhere, stacks=("b",))
    assert read_particles(given).files[1] == elsewhere / "b.mrcs" or linked.startswith("folder")


@pytest.mark.parametrize("place", ["run", "run/class_01/not_converged"])
def test_names_in_a_runs_table_count_from_the_table_that_it_read(
    tmp_path: Path, place: str
) -> None:
    data, own = tmp_path / "data", tmp_path / "elsewhere" / place
    data.mkdir()
    own.mkdir(parents=True)
    read = table(data)
    names = own.parent if own.name == "not_converged" else own
    (names / "result.json").write_text(json.dumps({"settings": {"particles": str(read)}}))
    shutil.copy(read, own / "particles.star")
    stack = read_particles(own / "particles.star")
    assert {file.parent for file in stack.files} == {data}
    # what is beside the table itself comes first
    table(own, stacks=("a",))
    assert own in {file.parent for file in read_particles(own / "particles.star").files}
    (names / "result.json").write_text("{}")
    (own / "a.mrcs").unlink()
    assert {file.parent for file in read_particles(own / "particles.star").files} == {own}


@pytest.mark.parametrize("token", NO_NUMBERS)
@pytest.mark.parametrize(
    "column",
    ["rlnCtfDataAreCtfPremultiplied", "rlnCtfDataArePhaseFlipped", "rlnImageDimensionality"],
)
def test_a_flag_that_is_no_number_says_nothing(tmp_path: Path, column: str, token: str) -> None:
    """As merged tables have it where one of them lacks the column."""
    text = RELION_31.replace("_rlnMtfFileName", f"_{column}")
    path = table(tmp_path, text.replace("8 mtf.star\n1", "8 0\n1").replace("mtf.star", token))
    stack = read_particles(path)
    error = stack.unread["flags of the images"]
    assert (error.row, error.column) == (2, column)


@pytest.mark.parametrize("change", ["300.0", "2.7", "mtf.star"])
def test_two_optics_groups_of_one_number(tmp_path: Path, change: str) -> None:
    """Twice the same values is no harm; other values for one number are not guessed at."""
    line = "1 first  300.0 2.7 0.10 1.50 8 mtf.star\n"
    again = line.replace(" ", "  ")
    path = table(tmp_path, RELION_31.replace(line, line + again))
    assert read_particles(path).optics_group.tolist() == [0, 0, 1]
    other = again.replace(change, "1.8" if change != "mtf.star" else "x.star")
    path = table(tmp_path, RELION_31.replace(line, line + other))
    with pytest.raises(BadDataError, match="optics group 1 stands in rows 2, 3") as refusal:
        read_particles(path)
    assert (refusal.value.column, refusal.value.row) == ("rlnOpticsGroup", 3)


@pytest.mark.parametrize("name", ["1@./a.mrcs", "000001@link.mrcs", "1@a.mrcs"])
def test_one_image_by_two_names(tmp_path: Path, name: str) -> None:
    """The second row of an image is found whatever it is called."""
    path = table(tmp_path, RELION_31.replace("000002@b.mrcs", name))
    (tmp_path / "link.mrcs").symlink_to(tmp_path / "a.mrcs")
    with pytest.raises(BadDataError, match="also in row 2") as refusal:
        audit_table(read_particles(path), min_particles=1)
    assert refusal.value.row == 3


@pytest.mark.parametrize("dialect", ["3.0", "3.1"])
def test_phase_flips_are_of_an_optics_group(tmp_path: Path, dialect: str) -> None:
    if dialect == "3.1":
        text = RELION_31.replace("_rlnMtfFileName", "_rlnCtfDataArePhaseFlipped")
        text = text.replace("8 mtf.star\n1", "8 1\n1").replace("8 mtf.star", "8 0")
        expected = [False, False, True]
    else:
        text = RELION_30.replace("_rlnPhaseShift", "_rlnCtfDataArePhaseFlipped")
        text = text.replace(" 1.5 90 10", " 1.5 1 10")
        expected = [True, False]
    stack = read_particles(table(tmp_path, text))
    assert stack.phase_flipped.tolist() == expected
    for kind, out in (("cryosparc", "x.cs"), ("cryodrgn", "x.txt"), ("relion-3.1", "x.star")):
        said = [note for note in losses(stack, kind, tmp_path / out) if "phase-flipped" in note]
        assert len(said) == (kind != "relion-3.1")
    write_table(tmp_path / "other.star", stack, "relion-3.0" if dialect == "3.1" else "relion-3.1")
    assert read_particles(tmp_path / "other.star").phase_flipped.tolist() == expected


def test_premultiplied_images_are_refused_with_the_way_out(tmp_path: Path) -> None:
    text = RELION_31.replace("_rlnSomethingNew", "_rlnCtfDataAreCtfPremultiplied")
    text = text.replace("0x1F", "0").replace("1e-3", "1").replace('"x y"', "0")
    with pytest.raises(BadDataError, match="multiplied by their CTF") as refusal:
        read_particles(table(tmp_path, text))
    assert refusal.value.row == 2 and "--premultiply_ctf" in str(refusal.value.fix)
