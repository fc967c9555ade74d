"""`cryospin convert` between every two formats: the same particles, poses and CTFs."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cryospin.cli.check import check
from cryospin.cli.convert import Format, convert
from cryospin.errors import BadDataError
from cryospin.evaluate.run import evaluate_run
from cryospin.io.cryosparc_table import read_cs
from cryospin.io.formats import FORMATS, read_particles_of_any_kind
from cryospin.io.mrc import StackWriter, read_images
from cryospin.io.relion import write_new_particles
from cryospin.io.star import StarBlock, StarFile, read_star
from cryospin.io.star_writer import write_star
from cryospin.io.table_writer import write_beside, write_table
from cryospin.optics import CtfParameters, Optics
from cryospin.types import ParticleStack, Poses
from phantoms import random_turns

COUNT, BOX, PIXEL = 6, 16, 1.4
OUTPUT = {"relion-3.0": "x.star", "relion-3.1": "x.star", "cryosparc": "x.cs", "cryodrgn": "x.txt"}


def table(folder: Path, count: int = COUNT, seed: int = 0) -> Path:
    """Two stacks of noise; a RELION 3.1 table with two optics groups and columns of its own."""
    rng = np.random.default_rng(seed)
    for name in "ab":
        with StackWriter(folder / f"{name}.mrcs", BOX, PIXEL, count) as writer:
            writer.append(rng.normal(size=(count, BOX, BOX)))
    optics = (Optics("one", PIXEL, 300.0, 2.7, 0.1), Optics("two", PIXEL, 200.0, 1.4, 0.07))
    group = np.arange(count) % 2
    u, angle = rng.uniform(1e4, 2e4, count), rng.uniform(-90, 90, count)
    kv, cs, w = (
        [getattr(optics[i], name) for i in group]
        for name in ("voltage_kv", "spherical_aberration_mm", "amplitude_contrast")
    )
    columns = (u, u - 500, angle, angle / 2 + 45, kv, cs, w)
    ctf = CtfParameters(*(torch.tensor(values) for values in columns))
    shifts = torch.as_tensor(rng.normal(size=(count, 2)) * 3)
    confidence = torch.linspace(0.2, 0.9, count).double()
    write_new_particles(
        folder / "in.star",
        [f"{i + 1:06d}@{'ab'[i % 2]}.mrcs" for i in rng.permutation(count)],
        optics,
        BOX,
        group,
        ctf,
        Poses(random_turns(count, seed), shifts, confidence),
        micrographs=[f"m{i // 3}.mrc" for i in range(count)],
        half_set=np.arange(count) // 2 % 2 + 1,
    )
    blocks = read_star(folder / "in.star").blocks
    blocks["optics"].columns["rlnMtfFileName"] = ["mtf.star", '"other mtf.star"']
    blocks["particles"].columns["rlnSomethingNew"] = [f"0x{i:02X}" for i in range(count)]
    general = {"general": StarBlock({"rlnSomething": "1"})}
    write_star(folder / "in.star", StarFile(general | blocks))
    return folder / "in.star"


def sorted_by_uid(stack: ParticleStack) -> ParticleStack:
    return stack.select(np.argsort(stack.uids))


def assert_same_particles(first: Path, second: Path, half_sets: bool = True) -> None:
    """Whatever their order; angles to what six decimals or a float32 leave of them."""
    a, b = (sorted_by_uid(read_particles_of_any_kind(path)) for path in (first, second))
    assert a.uids == b.uids
    assert (a.box, a.pixel_size_angstrom) == (b.box, b.pixel_size_angstrom)
    for field in fields(CtfParameters):
        values = (getattr(stack.ctf, field.name) for stack in (a, b))
        assert torch.allclose(*values, rtol=1e-6, atol=1e-5), field.name
    assert a.poses is not None and b.poses is not None
    assert torch.allclose(a.poses.rotations, b.poses.rotations, atol=1e-6)
    assert torch.allclose(a.poses.shifts_angstrom, b.poses.shifts_angstrom, atol=1e-5)
    index = np.arange(len(a))
    assert torch.equal(read_images(a, index), read_images(b, index))
    if half_sets:
        assert np.array_equal(a.half_set, b.half_set)


@pytest.mark.parametrize("second", FORMATS)
@pytest.mark.parametrize("first", FORMATS)
def test_every_way_and_home(tmp_path: Path, first: str, second: str) -> None:
    home = table(tmp_path)
    stops = [home]
    for number, kind in enumerate((first, second)):
        stops.append(tmp_path / f"{number}{OUTPUT[kind]}")
        convert(stops[-2], stops[-1], to=Format(kind))
        assert_same_particles(home, stops[-1], "cryodrgn" not in (first, second))
    convert(stops[-1], tmp_path / "home.star", to=Format.relion_31, like=home)
    before, after = (read_star(path).blocks for path in (home, tmp_path / "home.star"))
    names = before["particles"].columns["rlnImageName"]
    rows = [after["particles"].columns["rlnImageName"].index(name) for name in names]
    posed = ("rlnAngle", "rlnOrigin", "rlnMaxValue")
    for name, tokens in before["particles"].columns.items():
        if not name.startswith(posed):
            assert [after["particles"].columns[name][row] for row in rows] == tokens
    assert before["optics"] == after["optics"]
    assert before["general"] == after["general"]


def columns_of(path: Path) -> dict[str, list[str]]:
    """Of the particles, with those of their optics, sorted by image."""
    blocks = read_star(path).blocks
    name, particles = next((k, b) for k, b in blocks.items() if "rlnImageName" in b.columns)
    columns = dict(particles.columns)
    if "optics" in blocks:
        optics = blocks["optics"].columns
        rows = [optics["rlnOpticsGroup"].index(group) for group in columns["rlnOpticsGroup"]]
        columns |= {label: [tokens[row] for row in rows] for label, tokens in optics.items()}
    order = np.argsort(columns["rlnImageName"])
    return {label: [tokens[row] for row in order] for label, tokens in columns.items()}


@settings(derandomize=True, deadline=None, max_examples=15)
@given(seed=st.integers(0, 999), count=st.integers(1, 9))
def test_relions_dialects_lose_nothing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "dialects"
    folder.mkdir(exist_ok=True)
    home = table(folder, count, seed)
    convert(home, folder / "30.star", to=Format.relion_30)
    convert(folder / "30.star", folder / "31.star", to=Format.relion_31)
    convert(folder / "31.star", folder / "30b.star", to=Format.relion_30)
    assert "optics" not in read_star(folder / "30.star").blocks
    before, after = columns_of(home), columns_of(folder / "31.star")
    assert set(before) <= set(after)
    for name, tokens in before.items():
        if "Origin" in name:
            # pixels and back: nine decimals
            assert np.allclose([*map(float, tokens)], [*map(float, after[name])], atol=1e-8)
        else:
            assert tokens == after[name], name
    assert columns_of(folder / "30.star") == columns_of(folder / "30b.star")


def test_a_name_that_leads_elsewhere_becomes_absolute(tmp_path: Path) -> None:
    """A fresh table in another folder finds its stacks; a table of the same format keeps names."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    home = table(tmp_path / "here")
    convert(home, tmp_path / "there" / "x.cs")
    stack = read_particles_of_any_kind(tmp_path / "there" / "x.cs")
    assert {path.parent for path in stack.files} == {tmp_path / "here"}
    convert(home, tmp_path / "there" / "x.star")
    names = read_star(tmp_path / "there" / "x.star").blocks["particles"].columns["rlnImageName"]
    assert names == read_star(home).blocks["particles"].columns["rlnImageName"]


def test_what_is_lost_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "near").mkdir()
    home = table(tmp_path / "near")
    convert(home, tmp_path / "x.txt")
    printed = capsys.readouterr().out
    for words in ("no half-sets", "left behind", f"{COUNT} particles", "relion-3.1", "cryodrgn"):
        assert words in printed
    (tmp_path / "far").mkdir()
    convert(home, tmp_path / "far" / "x.star")
    assert "not found from" in capsys.readouterr().out


def test_like_a_table_of_other_particles(tmp_path: Path) -> None:
    home = table(tmp_path)
    other = home.read_text().replace("@a.mrcs", "@c.mrcs")
    (tmp_path / "other.star").write_text(other)
    with pytest.raises(BadDataError, match=r"000\d+@a.mrcs is not in .*other.star"):
        convert(home, tmp_path / "x.star", like=tmp_path / "other.star")
    (tmp_path / "poses.pkl").touch()
    with pytest.raises(BadDataError, match="names no images"):
        convert(tmp_path / "poses.pkl", tmp_path / "x.star")


def test_stacks_that_cryosparc_renamed(tmp_path: Path) -> None:
    """Imported: 21 digits before the name; extracted: .mrc, that RELION must see as .mrcs."""
    home = table(tmp_path)
    text = home.read_text().replace("@a.mrcs", f"@J1/imported/{'0' * 21}_a.mrc")
    (tmp_path / "theirs.star").write_text(text)
    convert(tmp_path / "theirs.star", tmp_path / "x.star", like=home)
    assert columns_of(tmp_path / "x.star") == columns_of(home)


def test_a_run_gives_its_poses_to_cryosparc_too(tmp_path: Path) -> None:
    home = table(tmp_path, 120)
    convert(home, tmp_path / "in.cs")
    check(tmp_path / "in.cs")
    stack = read_particles_of_any_kind(tmp_path / "in.cs")
    poses = Poses(random_turns(120, 9), torch.ones(120, 2).double(), torch.ones(120).double())
    (tmp_path / "run").mkdir()
    write_beside(tmp_path / "run", stack, poses, np.arange(120) % 2 + 1)
    assert_same_particles(tmp_path / "run" / "particles.star", tmp_path / "run" / "particles.cs")
    again = read_particles_of_any_kind(tmp_path / "run" / "particles.cs").poses
    assert again is not None and torch.allclose(again.rotations, poses.rotations, atol=1e-6)


def test_a_truth_of_cryosparc(tmp_path: Path) -> None:
    """The same poses by two programs' tables: no error but a float32's."""
    (tmp_path / "run").mkdir()
    home = table(tmp_path, 30)
    convert(home, tmp_path / "run" / "particles.star")
    convert(home, tmp_path / "truth.cs")
    found = evaluate_run(tmp_path / "run", tmp_path / "truth.cs")
    assert found["particles"] == 30
    assert found["rotation_error_degrees"]["mean"] < 1e-3
    assert found["shift_error"]["rms_pixel"] < 1e-4


def test_real_tables(data_directory: Path, tmp_path: Path) -> None:
    """3.1 of a real microscope to cryoSPARC and home: poses to a float32, all else as it was."""
    folder = data_directory / "particles"
    for name in ("sample_particles_relion31.star", "sample_particles_relion30.star"):
        home = folder / name
        convert(home, tmp_path / "x.cs")
        convert(tmp_path / "x.cs", tmp_path / "home.star", like=home)
        assert read_star(tmp_path / "home.star").blocks.keys() == read_star(home).blocks.keys()
        before, after = columns_of(home), columns_of(tmp_path / "home.star")
        for label, tokens in before.items():
            if label.startswith(("rlnAngle", "rlnOrigin")):
                assert np.allclose([*map(float, tokens)], [*map(float, after[label])], atol=3e-5)
            else:
                assert tokens == after[label], label


def expanded(home: Path, copies: int = 3) -> Path:
    """Each row `copies` times, rot turned each time, as symmetry expansion makes it."""
    blocks = dict(read_star(home).blocks)
    columns = blocks["particles"].columns
    rows = [row for row in range(len(blocks["particles"])) for _ in range(copies)]
    columns = {name: [tokens[row] for row in rows] for name, tokens in columns.items()}
    turned = enumerate(columns["rlnAngleRot"])
    columns["rlnAngleRot"] = [f"{float(a) + 360 / copies * (i % copies):.6f}" for i, a in turned]
    columns["rlnSomethingNew"] = [f"0x{i:02X}" for i in range(len(rows))]
    blocks["particles"] = StarBlock(columns=columns)
    write_star(home.with_name("expanded.star"), StarFile(blocks))
    return home.with_name("expanded.star")


def test_each_row_of_an_image_keeps_its_own_values(tmp_path: Path) -> None:
    several = expanded(table(tmp_path))
    convert(several, tmp_path / "x.star")
    assert read_star(tmp_path / "x.star") == read_star(several)
    stack = read_particles_of_any_kind(several)
    order = np.random.default_rng(0).permutation(len(stack))[:7]
    write_table(tmp_path / "some.star", stack.select(order), "relion-3.1")
    for name, tokens in read_star(several).blocks["particles"].columns.items():
        some = read_star(tmp_path / "some.star").blocks["particles"].columns[name]
        assert some == [tokens[row] for row in order]
    convert(several, tmp_path / "30.star", to=Format.relion_30)
    convert(tmp_path / "30.star", tmp_path / "31.star", to=Format.relion_31)
    turned = [read_star(p).blocks["particles"].columns for p in (several, tmp_path / "31.star")]
    assert turned[0]["rlnAngleRot"] == turned[1]["rlnAngleRot"]


def test_several_rows_of_an_image_by_cryosparc_and_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    several = expanded(table(tmp_path))
    convert(several, tmp_path / "x.cs")
    assert "18 rows show an image that stands in another row too" in capsys.readouterr().out
    uids = read_cs(tmp_path / "x.cs")["uid"]
    assert len(np.unique(uids)) == len(uids) == 3 * COUNT
    # the first row of an image has the uid it has without the others
    convert(tmp_path / "in.star", tmp_path / "once.cs")
    assert np.array_equal(read_cs(tmp_path / "once.cs")["uid"], uids[::3])
    convert(tmp_path / "x.cs", tmp_path / "back.star")
    a, b = (read_particles_of_any_kind(p) for p in (several, tmp_path / "back.star"))
    assert a.uids == b.uids and a.poses is not None and b.poses is not None
    assert torch.allclose(a.poses.rotations, b.poses.rotations, atol=1e-6)
    stack = read_particles_of_any_kind(tmp_path / "x.cs").select(np.array([7, 0, 8]))
    write_table(tmp_path / "some.cs", stack, "cryosparc")
    assert np.array_equal(read_cs(tmp_path / "some.cs"), read_cs(tmp_path / "x.cs")[[7, 0, 8]])


@pytest.mark.parametrize("like", ["in.star", "expanded.star"])
def test_which_row_of_an_image_is_meant_cannot_be_told(tmp_path: Path, like: str) -> None:
    several = expanded(table(tmp_path))
    with pytest.raises(BadDataError, match=r"twice.*rows 1, 2, 3 \(6 such images in 18 rows\)"):
        convert(several, tmp_path / "y.star", like=tmp_path / like)
    assert not (tmp_path / "y.star").exists()


def test_cryodrgn_has_one_row_an_image(tmp_path: Path) -> None:
    several = expanded(table(tmp_path))
    with pytest.raises(BadDataError, match=r"stands in rows 1, 2, 3.*one row an image \(18"):
        convert(several, tmp_path / "x.txt")
    assert not [*tmp_path.glob("x.*")]


def test_stacks_that_relion_would_take_for_maps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = table(tmp_path)
    for name in "ab":
        (tmp_path / f"{name}.mrcs").rename(tmp_path / f"{name}.mrc")
    home.write_text(home.read_text().replace(".mrcs", ".mrc"))
    convert(home, tmp_path / "x.cs")
    convert(home, tmp_path / "x.txt")
    capsys.readouterr()
    for name in ("x.cs", "x.txt"):
        convert(tmp_path / name, tmp_path / "x.star")
        assert "stack.mrc:mrcs" in capsys.readouterr().out
        names = read_star(tmp_path / "x.star").blocks["particles"].columns["rlnImageName"]
        assert all(name.endswith(".mrc:mrcs") for name in names)
        assert_same_particles(home, tmp_path / "x.star", half_sets=name == "x.cs")
    convert(home, tmp_path / "same.star")
    assert read_star(tmp_path / "same.star") == read_star(home)
    assert "RELION takes 000" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["star", "cs"])
def test_a_name_that_means_another_file_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """A folder with a stack of the same name: the table's images are still its own."""
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        table(tmp_path / folder, seed=len(folder))
    home = tmp_path / "here" / "in.star"
    if kind == "cs":
        convert(home, home.with_suffix(".cs"))
        home = home.with_suffix(".cs")
    convert(home, tmp_path / "there" / f"x.{kind}")
    assert "would be another file" in capsys.readouterr().out
    a, b = (read_particles_of_any_kind(p) for p in (home, tmp_path / "there" / f"x.{kind}"))
    index = np.arange(COUNT)
    assert torch.equal(read_images(a, index), read_images(b, index))


def test_what_is_left_behind_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = table(tmp_path)
    convert(home, tmp_path / "x.cs")
    printed = capsys.readouterr().out
    assert "left behind: rlnSomethingNew, rlnOpticsGroupName, rlnMtfFileName;" in printed
    convert(tmp_path / "x.cs", tmp_path / "x.txt")
    printed = capsys.readouterr().out
    assert "alignments3D/split" in printed and "ctf/df1_A" not in printed


def test_what_cannot_be_read_is_listed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = table(tmp_path)
    star = read_star(home)
    star.blocks["particles"].columns["rlnCoordinateX"] = ["nan"] * COUNT
    star.blocks["particles"].columns["rlnCoordinateY"] = ["1"] * COUNT
    write_star(home, star)
    convert(home, tmp_path / "x.cs")
    assert capsys.readouterr().out.count("rlnCoordinateX") == 1
