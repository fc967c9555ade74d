"""cryoSPARC tables: what is read, what is refused, and that nothing is lost on the way out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosparc_tables import PATH, alignments, blobs, ctfs, full, same_columns, table
from cryospin.errors import BadDataError
from cryospin.io.cryosparc import read_cryosparc
from cryospin.io.cryosparc_table import read_cs, with_columns, write_cs
from cryospin.io.cryosparc_writer import write_cryosparc
from cryospin.io.formats import poses_of
from cryospin.io.mrc import StackWriter, read_images
from cryospin.io.table_writer import write_table
from cryospin.types import ParticleStack, Poses
from phantoms import random_turns


def set_poses(stack: ParticleStack, seed: int = 1) -> Poses:
    n = len(stack)
    shifts = torch.as_tensor(np.random.default_rng(seed).normal(size=(n, 2)) * 5)
    return Poses(random_turns(n, seed), shifts, torch.linspace(0.1, 0.9, n).double())


def test_what_the_columns_mean(tmp_path: Path) -> None:
    stack = read_cryosparc(table(tmp_path / "x.cs", full()))
    assert stack.uids == tuple(f"{i:06d}@{PATH}" for i in (4, 3, 2, 1))
    assert stack.slice_index.tolist() == [3, 2, 1, 0]
    assert (stack.box, stack.image_sign) == (8, None)
    assert stack.pixel_size_angstrom == 1.3
    assert stack.half_set is not None and stack.half_set.tolist() == [1, 2, 1, 2]
    assert stack.ctf.defocus_angle_degrees.tolist() == pytest.approx([-60.0] * 4, rel=1e-6)
    assert stack.ctf.phase_shift_degrees.tolist() == pytest.approx([90.0] * 4, rel=1e-6)
    assert stack.ctf.defocus_u_angstrom.tolist() == [15000.0] * 4
    assert stack.optics[0].amplitude_contrast == 0.1
    given = alignments(4)
    expected = roma.rotvec_to_rotmat(torch.from_numpy(given["alignments3D/pose"]).double()).mT
    assert stack.poses is not None
    assert torch.allclose(stack.poses.rotations, expected, atol=1e-12)
    shifts = torch.from_numpy(given["alignments3D/shift"].astype(float)) * -float(np.float32(2.6))
    assert torch.allclose(stack.poses.shifts_angstrom, shifts)


def test_images_are_bright_whatever_their_sign(tmp_path: Path) -> None:
    with StackWriter(tmp_path / "a.mrc", 8, 1.3, 4) as writer:
        writer.append(np.arange(1, 5)[:, None, None] * np.ones((4, 8, 8)))
    columns = full() | blobs(4, ">a.mrc", sign=1.0)
    columns["blob/sign"][2] = -1.0
    stack = read_cryosparc(table(tmp_path / "x.cs", columns))
    assert stack.files == (tmp_path / "a.mrc",)
    assert read_images(stack, np.arange(4))[:, 0, 0].tolist() == [-4.0, -3.0, 2.0, -1.0]
    assert read_images(stack.select(np.array([2, 0])), np.array([1]))[0, 0, 0] == -4.0


def test_stacks_are_found_in_the_project_above(tmp_path: Path) -> None:
    (tmp_path / "J3" / "extract").mkdir(parents=True)
    (tmp_path / PATH).touch()
    stack = read_cryosparc(table(tmp_path / "J7" / "x.cs", full()))
    assert stack.files == (tmp_path / PATH,)


@pytest.mark.parametrize("linked", ["table", "folder"])
def test_stacks_and_passthroughs_from_where_a_link_leads(tmp_path: Path, linked: str) -> None:
    project = tmp_path / "project"
    (project / "J3" / "extract").mkdir(parents=True)
    (project / PATH).touch()
    name = "J5_003_particles.cs"
    table(project / "J5" / name, {"uid": full()["uid"]} | alignments(4))
    table(project / "J5" / "J5_passthrough_particles.cs", blobs(4) | ctfs(4))
    given = tmp_path / "elsewhere"
    if linked == "table":
        given.mkdir()
        given = given / "p.cs"
        given.symlink_to(project / "J5" / name)
    else:
        given.symlink_to(project / "J5")
        given = given / name
    stack = read_cryosparc(given)
    assert [file.resolve() for file in stack.files] == [project / PATH]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("column", "what"),
    [
        ("alignments3D/pose", "poses"),
        ("alignments3D/shift", "poses"),
        ("alignments3D/psize_A", "poses"),
        ("alignments3D/split", "half-sets"),
        ("alignments3D/class_posterior", "class posteriors"),
        ("alignments3D/alpha", None),
        ("cryospin/confidence", "confidences"),
        ("location/center_x_frac", "coordinates"),
        ("location/center_y_frac", "coordinates"),
        ("location/micrograph_shape", "coordinates"),
    ],
)
def test_what_is_not_needed_does_not_refuse(
    tmp_path: Path, column: str, what: str | None, value: float
) -> None:
    columns = {name: values.astype("<f4") for name, values in more_columns(4).items()}
    columns = full() | {"location/micrograph_path": np.full(4, b"m.mrc")} | columns
    columns[column].reshape(4, -1)[2, -1] = value
    path = table(tmp_path / "x.cs", columns)
    stack = read_cryosparc(path)
    assert set(stack.unread) == ({what} if what else set())
    for error in stack.unread.values():
        assert (error.row, error.column, error.file) == (3, column, path)
        assert f"{value}" in error.problem and error.fix
    assert stack.poses is not None and stack.coordinates_pixel is not None
    assert stack.poses.known.tolist() == [True, True, what != "poses", True]
    assert stack.poses.confidence.tolist() == [1, 1, float(what != "confidences"), 1]
    assert (stack.half_set is None) == (what == "half-sets")
    placed = np.isfinite(stack.coordinates_pixel).all(axis=1).tolist()
    assert placed == [True, True, what != "coordinates", True]
    write_cryosparc(tmp_path / "out.cs", stack, None, None)
    assert same_columns(read_cs(path), read_cs(tmp_path / "out.cs"))
    if what == "poses":
        with pytest.raises(BadDataError, match="is no number") as refusal:
            poses_of(stack)
        assert (refusal.value.row, refusal.value.column) == (3, column)
        with pytest.raises(BadDataError, match="is no number"):
            write_table(tmp_path / "out.star", stack, "relion-3.1")


@pytest.mark.parametrize("micrographs", [True, False])
@pytest.mark.parametrize(
    "gone",
    [
        ("location/center_x_frac",),
        ("location/center_y_frac",),
        ("location/micrograph_shape",),
        ("location/center_y_frac", "location/micrograph_shape"),
    ],
)
def test_a_part_of_a_place_names_what_is_missing(
    tmp_path: Path, gone: tuple[str, ...], micrographs: bool
) -> None:
    columns = full() | more_columns(4)
    if micrographs:
        columns["location/micrograph_path"] = np.full(4, b"m.mrc")
    columns = {name: values for name, values in columns.items() if name not in gone}
    with pytest.raises(BadDataError, match="no such column") as refusal:
        read_cryosparc(table(tmp_path / "x.cs", columns))
    assert refusal.value.column == gone[0]


def more_columns(n: int) -> dict[str, np.ndarray]:
    """Of one refinement, with places; each could hold a number that is none."""
    names = ("alignments3D/class_posterior", "alignments3D/alpha", "cryospin/confidence")
    fractions = ("location/center_x_frac", "location/center_y_frac")
    return (
        alignments(n)
        | {name: np.ones(n) for name in (*names, *fractions)}
        | {"location/micrograph_shape": np.full((n, 2), 100.0)}
    )


def test_half_sets_that_are_not_two(tmp_path: Path) -> None:
    columns = full()
    columns["alignments3D/split"][2] = 2
    stack = read_cryosparc(table(tmp_path / "x.cs", columns))
    error = stack.unread["half-sets"]
    assert stack.half_set is None
    assert (error.row, error.column) == (3, "alignments3D/split")
    assert "2 is no half-set" in error.problem


def test_columns_of_another_type_are_no_poses(tmp_path: Path) -> None:
    columns = full() | {"alignments3D/pose": np.full(4, b"text")}
    stack = read_cryosparc(table(tmp_path / "x.cs", columns))
    assert stack.poses is None
    with pytest.raises(BadDataError, match="has the type"):
        poses_of(stack)


def test_the_best_class_is_one_whose_posterior_is_a_number(tmp_path: Path) -> None:
    first, second = alignments(3, "alignments_class_0"), alignments(3, "alignments_class_1")
    columns = blobs(3) | ctfs(3) | first | second
    columns["alignments_class_0/class_posterior"] = np.array([0.4, 0.4, np.nan], "<f4")
    columns["alignments_class_1/class_posterior"] = np.array([0.6, np.nan, 0.1], "<f4")
    columns["alignments_class_1/pose"] = -columns["alignments_class_1/pose"]
    poses = read_cryosparc(table(tmp_path / "x.cs", columns)).poses
    assert poses is not None
    vectors = np.stack([columns[f"alignments_class_{k}/pose"][i] for i, k in enumerate([1, 0, 1])])
    expected = roma.rotvec_to_rotmat(torch.from_numpy(vectors).double()).mT
    assert torch.allclose(poses.rotations, expected)


def test_passthroughs_are_joined_by_uid(tmp_path: Path) -> None:
    path = table(tmp_path / "J5_003_particles.cs", {"uid": full()["uid"]} | alignments(4))
    with pytest.raises(BadDataError, match=r"blob/path.*no such column"):
        read_cryosparc(path)
    other = with_columns(np.empty(6, dtype=[]), blobs(6) | ctfs(6))[::-1]
    write_cs(tmp_path / "J5_passthrough_particles.cs", other)
    # of other particles, and first in the alphabet
    table(tmp_path / "J4_passthrough_particles.cs", {"uid": np.arange(4, dtype="<u8")} | ctfs(4))
    stack = read_cryosparc(path)
    assert [uid[:6] for uid in stack.uids] == ["000006", "000005", "000004", "000003"]
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "J5_passthrough_particles.cs").rename(tmp_path / "elsewhere" / "p.cs")
    assert read_cryosparc(path, [moved]).uids == stack.uids
    with pytest.raises(BadDataError, match="is not in .*J4"):
        read_cryosparc(path, [tmp_path / "J4_passthrough_particles.cs"])


@pytest.mark.parametrize("kind", ["<u8", "<i8"])
def test_passthroughs_are_joined_one_to_one(tmp_path: Path, kind: str) -> None:
    """Uids that differ in the last bit are others, whatever their type; doubles are refused."""
    uid = np.array([2**62, 2**62 + 1, 7, 9])
    path = table(tmp_path / "x.cs", {"uid": uid.astype("<u8")} | alignments(4))
    columns = blobs(4) | ctfs(4) | {"uid": uid.astype(kind)[::-1]}
    other = table(tmp_path / "p.cs", columns)
    assert [name[:6] for name in read_cryosparc(path, [other]).uids] == [
        f"{i:06d}" for i in (1, 2, 3, 4)
    ]
    for rows, words in (([9, 7, 7, 1], "7 is also in row 2.*rows 2, 3"), ([9, 7, 5, 3], "2 such")):
        wrong = table(tmp_path / "w.cs", columns | {"uid": np.array(rows, dtype=kind)})
        with pytest.raises(BadDataError, match=words):
            read_cryosparc(path, [wrong])


def test_the_best_of_several_classes(tmp_path: Path) -> None:
    n, rng = 5, np.random.default_rng(0)
    posterior = rng.dirichlet([1, 1, 1], n).astype("<f4")
    pose, shift = rng.normal(size=(n, 3, 3)).astype("<f4"), rng.normal(size=(n, 3, 2)).astype("<f4")
    best = posterior.argmax(axis=1)
    multi = {
        "alignments3D_multi/pose": pose,
        "alignments3D_multi/shift": shift,
        "alignments3D_multi/class_posterior": posterior,
        "alignments3D_multi/psize_A": np.full(n, 1.3, dtype="<f4"),
    }
    single = {
        f"alignments_class_{k}/{name}": value[:, k]
        for k in range(3)
        for name, value in (("pose", pose), ("shift", shift), ("class_posterior", posterior))
    }
    expected = torch.from_numpy(pose[np.arange(n), best]).double()
    for number, columns in enumerate((multi, single)):
        stack = read_cryosparc(table(tmp_path / f"{number}.cs", blobs(n) | ctfs(n) | columns))
        assert stack.poses is not None
        assert torch.allclose(stack.poses.rotations, roma.rotvec_to_rotmat(expected).mT)
        moved = torch.from_numpy(shift[np.arange(n), best]).double() * -1.3
        assert torch.allclose(stack.poses.shifts_angstrom, moved, rtol=1e-6)


def test_poses_read_back_and_other_columns_stay(tmp_path: Path) -> None:
    path = table(tmp_path / "x.cs", full(6) | {"strange/thing": np.arange(12.0).reshape(6, 2)})
    stack = read_cryosparc(path).select(np.array([4, 0, 3]))
    poses = set_poses(stack)
    write_cryosparc(tmp_path / "out.cs", stack, poses, np.array([2, 1, 1]))
    again = read_cryosparc(tmp_path / "out.cs")
    assert again.poses is not None and again.half_set is not None
    assert again.uids == stack.uids
    # float32 rotation vectors
    assert torch.allclose(again.poses.rotations, poses.rotations, atol=1e-6)
    assert torch.allclose(again.poses.shifts_angstrom, poses.shifts_angstrom, atol=1e-5)
    assert torch.allclose(again.poses.confidence, poses.confidence, atol=1e-6)
    assert again.half_set.tolist() == [2, 1, 1]
    before, after = read_cs(path)[[4, 0, 3]], read_cs(tmp_path / "out.cs")
    new = set(after.dtype.names or ()) - set(before.dtype.names or ())
    ours = tuple(new | {f"alignments3D/{name}" for name in ("pose", "shift", "psize_A", "split")})
    assert same_columns(before, after, ours)
    # what cryoSPARC's refinements write beside the pose
    assert {"alignments3D/alpha", "alignments3D/class", "alignments3D/error"} <= new


types = st.sampled_from(["<u8", "<u4", "<i4", "<f4", "<f8", ">f4", "S7", "|b1", "<U3", "<f2"])
shapes = st.sampled_from([(), (2,), (3, 2)])


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.data())
def test_any_columns_survive_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    n = data.draw(st.integers(1, 6))
    extra = {}
    for number, (kind, shape) in enumerate(
        data.draw(st.lists(st.tuples(types, shapes), max_size=6))
    ):
        column = np.zeros((n, *shape), dtype=kind)
        raw = np.random.default_rng(data.draw(st.integers(0, 99))).bytes(column.nbytes)
        # text must be text; every other type takes any bits, NaN's payloads among them
        column = column if kind in ("<U3", "|b1") else np.frombuffer(raw, kind).reshape(n, *shape)
        extra[f"group/{number}"] = column
    path = table(folder / "bits.cs", full(n) | extra)
    order = np.array(data.draw(st.permutations(range(n))))
    write_cryosparc(folder / "bits2.cs", read_cryosparc(path).select(order), None, None)
    assert same_columns(read_cs(path)[order], read_cs(folder / "bits2.cs"))


def test_a_header_beyond_numpys_limit(tmp_path: Path) -> None:
    wide = {f"a_group_with_a_long_name/column_{i}": np.zeros(2, "<f4") for i in range(600)}
    path = table(tmp_path / "x.cs", full(2) | wide)
    with pytest.raises(ValueError, match="max_header_size"):
        np.load(path)
    assert len(read_cryosparc(path)) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x94CSDAT" + bytes(100), "compressed stream format"),
        (b"\x93NUMPY\x01\x00", "damaged or cut off"),
        (b"data_particles\n", "no cryoSPARC table"),
        (b"", "no cryoSPARC table"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x.cs").write_bytes(content)
    with pytest.raises(BadDataError, match=words) as refusal:
        read_cryosparc(tmp_path / "x.cs")
    assert refusal.value.fix


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    with open(tmp_path / "x.cs", "wb") as file:
        np.save(file, np.array([({},)], dtype=[("uid", "O")]))
    with pytest.raises(BadDataError, match="pickled"):
        read_cryosparc(tmp_path / "x.cs")


def nothing(columns: dict[str, np.ndarray]) -> None:
    for name in columns:
        columns[name] = columns[name][:0]


@pytest.mark.parametrize(
    ("change", "column", "row", "words"),
    [
        (lambda c: c.pop("ctf/df1_A"), "ctf/df1_A", None, "no such column"),
        (lambda c: c.pop("uid"), "uid", None, "no such column"),
        (lambda c: c["uid"].__setitem__(2, c["uid"][1]), "uid", 3, "also in row 2"),
        (lambda c: c["ctf/df1_A"].__setitem__(1, np.nan), "ctf/df1_A", 2, "nan is no number"),
        (lambda c: c["blob/shape"].__setitem__((1, 0), 9), "blob/shape", 2, "8 x 9"),
        (lambda c: c["blob/psize_A"].__setitem__(1, 2), "blob/psize_A", None, "pixel sizes"),
        (lambda c: c["blob/path"].__setitem__(3, b""), "blob/path", 4, "no path"),
        (lambda c: c["blob/sign"].__setitem__(1, 0), "blob/sign", 2, "no sign"),
        (lambda c: c.update({"blob/idx": np.full(4, -1)}), "blob/idx", 1, "no index"),
        (lambda c: c.update({"ctf/cs_mm": np.full(4, b"x")}), "ctf/cs_mm", None, "type"),
        (nothing, None, None, "no rows"),
    ],
)
def test_refusals_name_the_place(
    tmp_path: Path, change: object, column: str | None, row: int | None, words: str
) -> None:
    columns = full()
    change(columns)
    path = table(tmp_path / "x.cs", columns)
    with pytest.raises(BadDataError, match=words) as refusal:
        read_cryosparc(path)
    assert (refusal.value.column, refusal.value.row) == (column, row)
    assert refusal.value.fix and refusal.value.file == path


@pytest.mark.parametrize(
    ("name", "count", "posed"),
    [
        ("metadata/cryosparc_P12_J24_001_particles.cs", 2019, True),
        ("metadata/cryosparc_J2_particles_exported.cs", 22, False),
        ("particles/empiar_10076_7.cs", 7, False),
    ],
)
def test_real_tables(
    data_directory: Path, tmp_path: Path, name: str, count: int, posed: bool
) -> None:
    stack = read_cryosparc(data_directory / name)
    assert (len(stack), stack.poses is not None) == (count, posed)
    write_cryosparc(tmp_path / "same.cs", stack, None, None)
    before = np.load(data_directory / name)
    assert same_columns(before, np.load(tmp_path / "same.cs"))
    poses = set_poses(stack)
    write_cryosparc(tmp_path / "posed.cs", stack, poses, None)
    again = read_cryosparc(tmp_path / "posed.cs")
    assert again.poses is not None
    assert torch.allclose(again.poses.rotations, poses.rotations, atol=1e-6)


def test_a_real_table_agrees_with_its_star(data_directory: Path) -> None:
    """EMPIAR-10076, the same particles as cryoSPARC and RELION tell of them."""
    from cryospin.io.relion import read_particles

    folder = data_directory / "particles"
    ours = read_cryosparc(folder / "empiar_10076_7.cs")
    theirs = read_particles(folder / "empiar_10076_7.star")
    order = [theirs.uids.index(uid) for uid in ours.uids]
    theirs = theirs.select(np.array(order))
    assert ours.box == theirs.box
    assert ours.pixel_size_angstrom == pytest.approx(theirs.pixel_size_angstrom, rel=1e-5)
    for field in ("defocus_u_angstrom", "defocus_angle_degrees", "voltage_kv"):
        assert torch.allclose(getattr(ours.ctf, field), getattr(theirs.ctf, field), atol=0.1)
