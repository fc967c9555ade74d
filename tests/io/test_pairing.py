"""Particles of two tables: each finds itself, and nobody else, or the tables are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.errors import BadDataError
from cryospin.io.mrc import StackWriter
from cryospin.io.pairing import pair_particles
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.optics import CtfParameters, Optics
from cryospin.types import ParticleStack

COUNT, BOX = 4, 16
Names = list[str]


def stack_of(
    path: Path, names: Names, originals: Names | None = None, box: int = BOX
) -> ParticleStack:
    """A table of these images, whether they are there or not."""
    n = len(names)
    ones = torch.ones(n, dtype=torch.float64)
    ctf = CtfParameters(1e4 * ones, 1e4 * ones, ones, ones, 300 * ones, 2.7 * ones, 0.1 * ones)
    optics = (Optics("one", 2.0 * BOX / box, 300.0, 2.7, 0.1),)
    path.parent.mkdir(parents=True, exist_ok=True)
    group = np.zeros(n, int)
    write_new_particles(path, names, optics, box, group, ctf, original_names=originals)
    return read_particles(path)


def images(stack: str, numbers: list[int]) -> Names:
    return [f"{number:06d}@{stack}" for number in numbers]


ORDER = [3, 1, 4, 2]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (images("a.mrcs", ORDER), images("a.mrcs", [1, 2, 3, 4])),
        ([f"{i}@a.mrcs" for i in ORDER], images("a.mrcs", [1, 2, 3, 4])),
        (images("./a.mrcs", ORDER), images("a.mrcs", [1, 2, 3, 4])),
        (images("a.mrc:mrcs", ORDER), images("a.mrc", [1, 2, 3, 4])),
        (images("a.mrcs", ORDER), images("J1/000000000000000000001_a.mrc", [1, 2, 3, 4])),
        (images("../old/job1/a.mrcs", ORDER), images("job1/a.mrcs", [1, 2, 3, 4])),
        # two jobs with one stack name: the folder tells, as far as both say it
        (
            images("x/job1/a.mrcs", [2, 1]) + images("x/job2/a.mrcs", [1, 2]),
            images("job2/a.mrcs", [2, 1]) + images("job1/a.mrcs", [1, 2]),
        ),
    ],
)
def test_names_in_any_order_and_spelling(tmp_path: Path, ours: Names, theirs: Names) -> None:
    a, b = stack_of(tmp_path / "a.star", ours), stack_of(tmp_path / "b.star", theirs)
    left, right = pair_particles(a, b)

    def image(uid: str) -> tuple[int, str]:
        """Number and job, as far as a job is named."""
        return int(uid[:6]), "job2" if "job2" in uid else "job1"

    assert left.tolist() == [0, 1, 2, 3]
    assert [image(a.uids[i]) for i in left] == [image(b.uids[i]) for i in right]


def test_files_tell_where_names_do_not(tmp_path: Path) -> None:
    """A job's own table says a.mrcs; in the project's, two jobs have one."""
    for folder in ("job1", "job2"):
        (tmp_path / folder).mkdir()
        with StackWriter(tmp_path / folder / "a.mrcs", BOX, 2.0, 2) as writer:
            writer.append(np.zeros((2, BOX, BOX)))
    names = images("job1/a.mrcs", [1, 2]) + images("job2/a.mrcs", [2, 1])
    project = stack_of(tmp_path / "all.star", names)
    job = stack_of(tmp_path / "job2" / "p.star", images("a.mrcs", [1, 2]))
    left, right = pair_particles(job, project)
    assert (left.tolist(), right.tolist()) == ([0, 1], [3, 2])
    (tmp_path / "link").symlink_to(tmp_path / "job2")
    linked = stack_of(tmp_path / "l.star", images("link/a.mrcs", [2]))
    assert pair_particles(linked, project)[1].tolist() == [2]


def small_of(tmp_path: Path, name: str, order: list[int], table: str) -> ParticleStack:
    """Image i of `name` was made from image order[i] of a.mrcs."""
    return stack_of(
        tmp_path / table,
        images(name, list(range(1, len(order) + 1))),
        images("a.mrcs", order),
        BOX // 2,
    )


@pytest.mark.parametrize("name", ["small.mrcs", "a.mrcs", "x/a.mrc"])
def test_the_original_name_counts_before_the_own(tmp_path: Path, name: str) -> None:
    original = stack_of(tmp_path / "a.star", images("a.mrcs", [1, 2, 3, 4]))
    small = small_of(tmp_path, name, ORDER, "s.star")
    assert pair_particles(small, original)[1].tolist() == [i - 1 for i in ORDER]
    assert pair_particles(original, small)[1].tolist() == [ORDER.index(i) for i in (1, 2, 3, 4)]
    other = small_of(tmp_path, name, [4, 3], "o.star")
    left, right = pair_particles(other, small)
    assert [ORDER[i] for i in right] == [4, 3] and left.tolist() == [0, 1]


def test_a_table_that_lost_the_original_names(tmp_path: Path) -> None:
    small = small_of(tmp_path, "small.mrcs", ORDER, "s.star")
    bare = stack_of(tmp_path / "b.star", images("small.mrcs", [4, 2]), box=BOX // 2)
    assert pair_particles(bare, small)[1].tolist() == [3, 1]
    assert pair_particles(small, bare)[0].tolist() == [1, 3]


def test_one_original_in_several_rows_is_told_by_the_own_name(tmp_path: Path) -> None:
    """A signal subtracted after symmetry expansion: images of their own, one original."""
    names, originals = images("sub.mrcs", [1, 2, 3]), images("a.mrcs", [1, 1, 2])
    a = stack_of(tmp_path / "a.star", names, originals)
    b = stack_of(tmp_path / "b.star", names[::-1], originals[::-1])
    assert pair_particles(a, b)[1].tolist() == [2, 1, 0]


TWICE = images("a.mrcs", [1, 2, 1])


@pytest.mark.parametrize(
    ("ours", "theirs", "file"),
    [
        (TWICE, images("a.mrcs", [1, 2]), "ours.star"),
        (images("a.mrcs", [1, 2]), TWICE, "theirs.star"),
        (TWICE, TWICE, "ours.star"),
        (["1@./a.mrcs", "2@a.mrcs", "000001@a.mrcs"], images("a.mrcs", [1, 2]), "ours.star"),
    ],
)
def test_an_image_in_several_rows_is_refused(
    tmp_path: Path, ours: Names, theirs: Names, file: str
) -> None:
    a, b = stack_of(tmp_path / "ours.star", ours), stack_of(tmp_path / "theirs.star", theirs)
    with pytest.raises(BadDataError, match=r"twice: 000001@a.mrcs stands in rows 1, 3") as refusal:
        pair_particles(a, b)
    assert (refusal.value.file, refusal.value.row) == (tmp_path / file, 3)


@pytest.mark.parametrize("here", [False, True])
def test_images_of_two_jobs_that_are_numbered_on(tmp_path: Path, here: bool) -> None:
    """No image name stands twice, and yet half of them are of another stack."""
    names = images("job1/a.mrcs", [1, 2]) + images("job2/a.mrcs", [3, 4])
    both = stack_of(tmp_path / "both.star", names)
    if here:
        for job in ("job1", "job2"):
            (tmp_path / job).mkdir()
            with StackWriter(tmp_path / job / "a.mrcs", BOX, 2.0, 4) as writer:
                writer.append(np.zeros((4, BOX, BOX)))
    both = read_particles(both.source)
    one = stack_of(tmp_path / "job1" / "one.star", images("a.mrcs", [1, 2, 3, 4]))
    if here:
        # the files tell, as far as they go
        assert [rows.tolist() for rows in pair_particles(one, both)] == [[0, 1], [0, 1]]
        return
    for first, second in ((one, both), (both, one)):
        with pytest.raises(BadDataError, match="job1/a.mrcs and job2/a.mrcs are not told apart"):
            pair_particles(first, second)


def test_two_jobs_that_the_names_do_not_tell_apart(tmp_path: Path) -> None:
    names = images("job1/a.mrcs", [1]) + images("job2/a.mrcs", [1])
    both = stack_of(tmp_path / "both.star", names)
    one = stack_of(tmp_path / "one.star", images("a.mrcs", [1]))
    with pytest.raises(BadDataError, match="rows 1, 2"):
        pair_particles(one, both)


def test_names_that_agree_by_accident(tmp_path: Path) -> None:
    """Two stacks of one name, made from other images: nothing in common."""
    a = small_of(tmp_path, "small.mrcs", [1, 2], "a.star")
    b = stack_of(
        tmp_path / "b.star", images("small.mrcs", [1, 2]), images("b.mrcs", [1, 2]), BOX // 2
    )
    with pytest.raises(BadDataError, match="another image of the same name"):
        pair_particles(a, b)
