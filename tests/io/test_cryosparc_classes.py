"""Classes in cryoSPARC's tables: arrays with a row per particle and a place per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from cryosparc_tables import blobs, ctfs, full, same_columns, table
from cryospin.io.cryosparc import read_cryosparc
from cryospin.io.cryosparc_table import read_cs
from cryospin.io.formats import CRYOSPARC, RELION_31, read_particles_of_any_kind, with_columns_of
from cryospin.io.table_writer import write_beside, write_table
from cryospin.types import Classes, Poses
from relion_tables import relion_table

POSTERIOR = torch.tensor([[0.125, 0.25, 0.5], [0.25, 0.125, 0.0], [1.0, 0.0, 0.0]])
FOUND = Classes(torch.tensor([2, -1, 0]), POSTERIOR)


def some_poses(count: int = 3) -> Poses:
    rotations = roma.random_rotmat(count, dtype=torch.float64)
    return Poses(rotations, torch.randn(count, 2).double(), torch.ones(count).double())


def per_class(count: int = 3, classes: int = 3) -> dict[str, np.ndarray]:
    """What heterogeneous refinement writes."""
    rng = np.random.default_rng(5)
    return {
        "alignments3D_multi/split": np.arange(count, dtype="<u4") % 2,
        "alignments3D_multi/pose": rng.normal(size=(count, classes, 3)).astype("<f4"),
        "alignments3D_multi/shift": rng.normal(size=(count, classes, 2)).astype("<f4"),
        "alignments3D_multi/class": np.tile(np.arange(classes, dtype="<u4"), (count, 1)),
        "alignments3D_multi/class_posterior": rng.dirichlet(np.ones(classes), count).astype("<f4"),
    }


def test_classes_there_and_back(tmp_path: Path) -> None:
    stack = read_cryosparc(table(tmp_path / "x.cs", full(3) | {"made/up": np.arange(3.0)}))
    write_beside(tmp_path, stack, some_poses(), np.array([1, 2, 2]), FOUND)
    rows = read_cs(tmp_path / "particles.cs")
    assert rows["alignments3D/class"].tolist() == [2, 0, 0]
    np.testing.assert_array_equal(rows["alignments3D/class_posterior"], [0.5, 0.25, 1.0])
    np.testing.assert_array_equal(rows["alignments3D_multi/class_posterior"], POSTERIOR)
    assert rows["alignments3D_multi/class"].tolist() == [[0, 1, 2]] * 3
    assert rows["alignments3D_multi/split"].tolist() == [0, 1, 1]
    for name in ("pose", "shift"):
        of_each = rows[f"alignments3D_multi/{name}"]
        np.testing.assert_array_equal(of_each, of_each[:, :1].repeat(3, axis=1))
        np.testing.assert_array_equal(of_each[:, 0], rows[f"alignments3D/{name}"])
    for name in ("particles.cs", "particles.star"):
        again = read_particles_of_any_kind(tmp_path / name).classes
        assert again is not None and again.posterior is not None
        assert torch.equal(again.number, FOUND.number)
        assert torch.equal(again.posterior, POSTERIOR.double())


def test_a_table_of_other_classes_gets_ours(tmp_path: Path) -> None:
    """With another number of classes the arrays have another shape."""
    columns = blobs(3) | ctfs(3) | per_class(classes=5) | {"made/up": np.arange(3.0)}
    stack = read_cryosparc(table(tmp_path / "x.cs", columns))
    assert stack.classes is not None and stack.classes.count == 5
    write_table(tmp_path / "out.cs", stack, CRYOSPARC, some_poses(), np.ones(3), FOUND)
    again = read_cryosparc(tmp_path / "out.cs")
    assert again.classes is not None and again.classes.count == 3
    assert read_cs(tmp_path / "out.cs")["made/up"].tolist() == [0, 1, 2]
    # and without a word on classes nothing of them changes
    write_table(tmp_path / "same.cs", stack, CRYOSPARC)
    assert same_columns(read_cs(tmp_path / "x.cs"), read_cs(tmp_path / "same.cs"))


def test_cryosparcs_own_classes(tmp_path: Path) -> None:
    """Of several classes the most probable; in version 4.4 and before each class is a group."""
    columns = per_class()
    posterior = columns["alignments3D_multi/class_posterior"]
    old = {f"alignments_class_{k}/class_posterior": posterior[:, k].copy() for k in range(3)}
    for number, group in enumerate((columns, old)):
        path = table(tmp_path / f"{number}.cs", blobs(3) | ctfs(3) | group)
        found = read_cryosparc(path).classes
        assert found is not None and found.posterior is not None
        assert found.number.tolist() == posterior.argmax(axis=1).tolist()
        np.testing.assert_array_equal(found.posterior, posterior.astype(np.float64))


def test_class_of_a_single_alignment(tmp_path: Path) -> None:
    columns = full(3) | {"alignments3D/class": np.array([1, 0, 4], dtype="<u4")}
    found = read_cryosparc(table(tmp_path / "x.cs", columns)).classes
    assert found is not None and found.posterior is None
    assert found.number.tolist() == [1, 0, 4]
    columns["alignments3D/class"][:] = 0
    assert read_cryosparc(table(tmp_path / "x.cs", columns)).classes is None


def test_from_relion_and_back(tmp_path: Path) -> None:
    star = relion_table(tmp_path, 1.5, {}, {"rlnClassNumber": ["3", "0", "1"]})
    original = read_particles_of_any_kind(star)
    write_table(tmp_path / "x.cs", original, CRYOSPARC)
    assert "alignments3D_multi/class" not in (read_cs(tmp_path / "x.cs").dtype.names or ())
    stack = read_cryosparc(tmp_path / "x.cs")
    assert stack.classes is not None and stack.classes.number.tolist() == [2, -1, 0]
    write_table(tmp_path / "y.star", stack, RELION_31)
    assert read_particles_of_any_kind(tmp_path / "y.star").classes is not None
    # what cryoSPARC changed comes home to the columns of the original
    write_table(tmp_path / "z.cs", stack, CRYOSPARC, classes=Classes(torch.tensor([0, 1, -1])))
    home = with_columns_of(original, read_cryosparc(tmp_path / "z.cs"))
    assert home.classes is not None and home.classes.number.tolist() == [0, 1, -1]


@pytest.mark.parametrize(
    ("columns", "column", "words"),
    [
        ({"cryospin/class": np.array([1, -2, 0], "<i4")}, "cryospin/class", "-2 is no class"),
        (
            per_class() | {"cryospin/class": np.array([1, 0, 4], "<i4")},
            "cryospin/class",
            "4 is no class",
        ),
        (
            {"alignments3D_multi/class_posterior": np.array([[0.5, 0.5], [-1, 2], [0, 1]], "<f4")},
            "alignments3D_multi/class_posterior",
            "no probabilities",
        ),
        (
            {"alignments3D_multi/class_posterior": np.array([[0.5, 0.5], [0, np.nan], [0, 1]])},
            "alignments3D_multi/class_posterior",
            "no number",
        ),
        (
            {"alignments3D_multi/class_posterior": np.ones(3, "<f4")},
            "alignments3D_multi/class_posterior",
            "has the type",
        ),
    ],
)
def test_what_is_no_class_is_an_error_for_whoever_needs_it(
    tmp_path: Path, columns: dict[str, np.ndarray], column: str, words: str
) -> None:
    stack = read_cryosparc(table(tmp_path / "x.cs", blobs(3) | ctfs(3) | columns))
    assert stack.classes is None
    error = stack.unread["classes"]
    assert error.column == column and words in error.problem
