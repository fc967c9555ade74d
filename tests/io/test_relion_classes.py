"""Classes in RELION's tables: the number it knows, and posteriors in columns of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.errors import BadDataError
from cryospin.io.formats import RELION_30, RELION_31
from cryospin.io.losses import losses
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.io.relion_classes import class_posterior_names
from cryospin.io.star import read_star
from cryospin.io.table_writer import write_beside, write_table
from cryospin.types import Classes, ParticleStack, Poses
from relion_tables import relion_table

PIXEL = 1.5
FOUND = Classes(
    torch.tensor([2, -1, 0]),
    torch.tensor([[0.125, 0.25, 0.5], [0.25, 0.125, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64),
)


def read(folder: Path, columns: dict[str, list[str]]) -> ParticleStack:
    return read_particles(relion_table(folder, PIXEL, {}, columns | {"rlnMadeUp": ["a", "b", "c"]}))


@pytest.mark.parametrize("kind", [RELION_30, RELION_31])
def test_classes_there_and_back(tmp_path: Path, kind: str) -> None:
    stack = read(tmp_path, {}).select(np.array([2, 0, 1]))
    write_table(tmp_path / "out.star", stack, kind, classes=FOUND)
    again = read_particles(tmp_path / "out.star")
    assert again.classes is not None and again.classes.posterior is not None
    assert again.classes.number.tolist() == [2, -1, 0]
    assert torch.equal(again.classes.posterior, FOUND.posterior)
    assert again.classes.count == 3 and len(again.classes) == 3
    table = next(b for b in read_star(tmp_path / "out.star").blocks.values() if len(b) == 3)
    assert table.columns["rlnClassNumber"] == ["3", "0", "1"]
    assert table.columns["rlnMadeUp"] == ["c", "a", "b"]
    some = again.select(np.array([2, 1]))
    assert some.classes is not None and some.classes.number.tolist() == [0, -1]


def test_classes_of_an_earlier_run_are_replaced(tmp_path: Path) -> None:
    write_table(tmp_path / "three.star", read(tmp_path, {}), RELION_31, classes=FOUND)
    stack = read_particles(tmp_path / "three.star")
    poses = Poses(torch.eye(3).repeat(3, 1, 1), torch.zeros(3, 2), torch.ones(3))
    two = Classes(torch.tensor([0, 1, 1]), torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.25, 0.75]]))
    write_beside(tmp_path, stack, poses, np.array([1, 2, 1]), two)
    again = read_particles(tmp_path / "particles.star").classes
    assert again is not None and again.count == 2 and again.number.tolist() == [0, 1, 1]


def test_numbers_alone(tmp_path: Path) -> None:
    """As RELION's own classifications have them; no column of posteriors is made up."""
    stack = read(tmp_path, {"rlnClassNumber": ["200", "0", "17"]})
    assert stack.classes is not None and stack.classes.posterior is None
    assert stack.classes.number.tolist() == [199, -1, 16] and stack.classes.count == 200
    names = [f"{i:06d}@a.mrcs" for i in (1, 2, 3)]
    group = np.zeros(3, int)
    write_new_particles(
        tmp_path / "new.star", names, stack.optics, 32, group, stack.ctf, classes=stack.classes
    )
    columns = read_star(tmp_path / "new.star").blocks["particles"].columns
    assert columns["rlnClassNumber"] == ["200", "0", "17"]
    assert not {*class_posterior_names(3)} & {*columns}


@pytest.mark.parametrize("number", ["0", "1"])
def test_one_class_tells_nothing(tmp_path: Path, number: str) -> None:
    """A refinement's table has a 1 in every row. One class that was found is one."""
    stack = read(tmp_path, {"rlnClassNumber": [number] * 3})
    assert stack.classes is None and not stack.unread
    name = class_posterior_names(1)[0]
    (tmp_path / "found").mkdir()
    columns = {"rlnClassNumber": [number] * 3, name: ["1.0", "0.5", "0.25"]}
    found = read(tmp_path / "found", columns).classes
    assert found is not None and found.count == 1


@pytest.mark.parametrize(
    ("columns", "row", "column", "words"),
    [
        ({"rlnClassNumber": ["1", "2.5", "3"]}, 2, "rlnClassNumber", "2.5 is no class"),
        ({"rlnClassNumber": ["1", "2", "-3"]}, 3, "rlnClassNumber", "-3 is no class"),
        ({"rlnClassNumber": ["1", "two", "3"]}, 2, "rlnClassNumber", "'two' is no number"),
        (
            {"rlnClassNumber": ["1", "1", "1"], "cryospinClassPosterior1": ["1", "1.5", "0"]},
            2,
            "cryospinClassPosterior1",
            "1.5 is no probability",
        ),
        (
            {"rlnClassNumber": ["1", "3", "1"], "cryospinClassPosterior1": ["1", "1", "0"]},
            2,
            "rlnClassNumber",
            "class 3, and posteriors of 1",
        ),
        (
            {"rlnClassNumber": ["1", "1", "1"], "cryospinClassPosterior2": ["1", "1", "0"]},
            1,
            "rlnClassNumber",
            "posteriors of 1 .cryospinClassPosterior2.",
        ),
    ],
)
def test_what_is_no_class_is_an_error_for_whoever_needs_it(
    tmp_path: Path, columns: dict[str, list[str]], row: int, column: str, words: str
) -> None:
    stack = read(tmp_path, columns)
    assert stack.classes is None
    error = stack.unread["classes"]
    assert (error.file, error.row, error.column) == (stack.source, row, column)
    with pytest.raises(BadDataError, match=words):
        raise error


def test_classes_are_not_listed_as_left_behind(tmp_path: Path) -> None:
    write_table(tmp_path / "out.star", read(tmp_path, {}), RELION_31, classes=FOUND)
    stack = read_particles(tmp_path / "out.star")
    notes = " ".join(losses(stack, "cryosparc", tmp_path / "x.cs"))
    assert "rlnMadeUp" in notes and "Class" not in notes
    bare = " ".join(losses(stack, "cryodrgn", tmp_path / "x.txt"))
    assert "cryoDRGN's files have no classes" in bare
