"""cryoDRGN's files: arrays without unpickling, rows by stack and place, its units."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cryospin.errors import BadDataError
from cryospin.io.conventions import euler_to_rotation
from cryospin.io.cryodrgn import read_cryodrgn
from cryospin.io.cryodrgn_pickle import read_arrays
from cryospin.io.cryodrgn_pickle_writer import write_arrays
from cryospin.io.cryodrgn_writer import write_cryodrgn
from cryospin.io.formats import poses_of
from cryospin.io.mrc import StackWriter, read_images
from cryospin.types import Poses
from phantoms import random_turns

BOX, PIXEL = 8, 1.5


def stacks(folder: Path) -> None:
    """Stacks a (3 images) and b (2), pixels of image i being i, counted through both."""
    for name, values in (("a", (0, 1, 2)), ("b", (3, 4))):
        with StackWriter(folder / f"{name}.mrcs", BOX, PIXEL, len(values)) as writer:
            writer.append(np.array(values)[:, None, None] * np.ones((BOX, BOX)))


def inputs(folder: Path, seed: int = 0) -> tuple[Path, np.ndarray, np.ndarray, np.ndarray]:
    """particles.txt with ctf.pkl and poses.pkl beside, as cryoDRGN's own scripts pickle them."""
    stacks(folder)
    rng = np.random.default_rng(seed)
    ctf = np.tile(np.array([BOX, PIXEL, 0, 0, 0, 300, 2.7, 0.1, 0], dtype=np.float32), (5, 1))
    ctf[:, 2:5] = rng.uniform(1e4, 2e4, (5, 3))
    rotations = random_turns(5, seed).numpy()
    translations = rng.uniform(-0.1, 0.1, (5, 2))
    for name, content in (("ctf", ctf), ("poses", (rotations, translations))):
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(content))
    (folder / "particles.txt").write_text("a.mrcs\nb.mrcs\n")
    return folder / "particles.txt", ctf, rotations, translations


def test_what_the_arrays_mean(tmp_path: Path) -> None:
    path, ctf, rotations, translations = inputs(tmp_path)
    stack = read_cryodrgn(path)
    assert stack.uids[2:4] == ("000003@a.mrcs", "000001@b.mrcs")
    assert (stack.box, stack.pixel_size_angstrom, len(stack.optics)) == (BOX, PIXEL, 1)
    assert read_images(stack, np.arange(5))[:, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(stack.ctf.defocus_v_angstrom.numpy(), ctf[:, 3])
    assert stack.poses is not None
    assert np.allclose(stack.poses.rotations.numpy(), rotations)
    # RELION's sign, in units of the box
    assert np.allclose(stack.poses.shifts_angstrom.numpy(), -translations * BOX * PIXEL)


def test_the_pixel_size_of_images_downsampled_since(tmp_path: Path) -> None:
    path, ctf, *_ = inputs(tmp_path)
    ctf[:, 0], ctf[:, 1] = 4 * BOX, PIXEL / 4
    write_arrays(tmp_path / "ctf.pkl", ctf)
    assert read_cryodrgn(path).pixel_size_angstrom == PIXEL


def test_an_index_selects(tmp_path: Path) -> None:
    path, *_ = inputs(tmp_path)
    write_arrays(tmp_path / "particles.ind.pkl", np.array([4, 1]))
    stack = read_cryodrgn(path)
    assert stack.uids == ("000002@b.mrcs", "000002@a.mrcs")
    assert read_images(stack, np.arange(2))[:, 0, 0].tolist() == [4, 1]


@settings(derandomize=True, deadline=None, max_examples=25)
@given(rows=st.lists(st.integers(0, 4), min_size=1, unique=True), seed=st.integers(0, 9))
def test_particles_are_known_by_stack_and_place(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], seed: int
) -> None:
    """Any selection in any order comes back with its own poses and CTF, bit for bit."""
    folder = tmp_path_factory.getbasetemp() / "rows"
    (folder / "out").mkdir(parents=True, exist_ok=True)
    path, ctf, *_ = inputs(folder, seed)
    stack = read_cryodrgn(path).select(np.array(rows))
    assert stack.poses is not None
    write_cryodrgn(folder / "out" / "some.txt", stack, stack.poses)
    again = read_cryodrgn(folder / "out" / "some.txt")
    images = read_images(again, np.arange(len(rows)))[:, 0, 0].int().tolist()
    assert sorted(images) == sorted(rows)
    order = torch.tensor([images.index(row) for row in rows])
    assert again.poses is not None
    # float32 matrices, and shifts in float32 units of the box
    assert torch.allclose(again.poses.rotations[order], stack.poses.rotations, atol=1e-6)
    assert torch.allclose(
        again.poses.shifts_angstrom[order], stack.poses.shifts_angstrom, atol=1e-5
    )
    kept = again.table.ctf[again.rows]
    assert kept[order].tobytes() == ctf[rows].tobytes()


def test_cryodrgn_reads_what_we_write(tmp_path: Path) -> None:
    """Its loader: pickle.load, a tuple of float arrays, translations at most 1."""
    path, ctf, *_ = inputs(tmp_path)
    stack = read_cryodrgn(path)
    turns = euler_to_rotation(torch.tensor([[10.0, 20.0, 30.0]]).expand(5, 3))
    poses = Poses(turns, torch.tensor([[3.0, -6.0]]).expand(5, 2), torch.ones(5))
    write_cryodrgn(tmp_path / "new.txt", stack, poses)
    rotations, translations = pickle.loads((tmp_path / "new.poses.pkl").read_bytes())
    assert (rotations.shape, rotations.dtype) == ((5, 3, 3), np.float32)
    assert np.allclose(rotations, turns.numpy(), atol=1e-7)
    assert np.allclose(translations, [[-3.0 / (BOX * PIXEL), 6.0 / (BOX * PIXEL)]])
    assert np.array_equal(pickle.loads((tmp_path / "new.ctf.pkl").read_bytes()), ctf)
    assert not (tmp_path / "new.ind.pkl").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i8", "?"])
def test_arrays_of_every_protocol(tmp_path: Path, protocol: int, dtype: str) -> None:
    values = np.random.default_rng(protocol).normal(size=(4, 3, 3)).astype(dtype)
    content = (values, np.asfortranarray(values[..., 0]), values)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    for found, given_array in zip(read_arrays(tmp_path / "x.pkl"), content, strict=True):
        assert np.array_equal(found, given_array)
        assert found.dtype == given_array.dtype
    (tmp_path / "y.pkl").write_bytes(pickle.dumps(values, protocol=protocol))
    assert np.array_equal(read_arrays(tmp_path / "y.pkl")[0], values)


class Bomb:
    """What an attacker's pickle does when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('the file ran code')",)


@pytest.mark.parametrize(
    "content",
    [
        Bomb(),
        (np.zeros(3), Bomb()),
        OrderedDict(a=1),
        np.array([Bomb()]),
        np.array(["text"]),
        np.zeros(2, dtype="c16"),
        {"rotations": np.zeros(3)},
        [1, 2, 3],
        [],
        None,
        torch.zeros(2),
        np.float64(3),
        [[np.zeros(2)]],
        list(range(20_000)),
    ],
    ids=lambda content: type(content).__name__,
)
def test_only_arrays_are_read(tmp_path: Path, content: object) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(BadDataError, match="only arrays of numbers are read") as refusal:
        read_arrays(tmp_path / "x.pkl")
    assert refusal.value.fix


def test_a_lie_about_the_size_takes_no_memory(tmp_path: Path) -> None:
    """numpy's own loader would set aside what the shape says before it looks."""
    good = pickle.dumps(np.zeros((3, 3), dtype=np.float32), protocol=3)
    lie = good.replace(b"K\x03K\x03\x86", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86")
    assert lie != good
    (tmp_path / "x.pkl").write_bytes(lie)
    with pytest.raises(BadDataError, match="shape"):
        read_arrays(tmp_path / "x.pkl")


def poses_with(folder: Path, rotations: np.ndarray, translations: np.ndarray) -> None:
    write_arrays(folder / "poses.pkl", rotations, translations)


@pytest.mark.parametrize(
    ("change", "file", "row", "words"),
    [
        (lambda f, c, r, t: write_arrays(f / "ctf.pkl", c[:4]), "ctf.pkl", None, "4 rows for 5"),
        (lambda f, c, r, t: write_arrays(f / "ctf.pkl", c[:, 1:]), "ctf.pkl", None, r"\(5, 8\)"),
        (lambda f, c, r, t: write_arrays(f / "ctf.pkl", c * np.nan), "ctf.pkl", 1, "not a number"),
        (lambda f, c, r, t: (f / "ctf.pkl").unlink(), "particles.txt", None, "no CTF"),
        (lambda f, c, r, t: (f / "b.mrcs").unlink(), "b.mrcs", None, "No such file"),
        (lambda f, c, r, t: (f / "particles.txt").write_text("\n"), "particles.txt", None, "no st"),
        (
            lambda f, c, r, t: write_arrays(f / "particles.ind.pkl", np.array([5])),
            "particles.ind.pkl",
            None,
            "no indices of 5",
        ),
        (
            lambda f, c, r, t: write_arrays(f / "particles.ind.pkl", np.array([4, 1, 4])),
            "particles.ind.pkl",
            3,
            "index 4 stands in rows 1, 3",
        ),
    ],
)
def test_refusals_name_the_place(
    tmp_path: Path, change: object, file: str, row: int | None, words: str
) -> None:
    path, *arrays = inputs(tmp_path)
    change(tmp_path, *arrays)
    with pytest.raises(BadDataError, match=words) as refusal:
        read_cryodrgn(path)
    assert refusal.value.file == tmp_path / file
    assert refusal.value.row == row
    assert refusal.value.fix


@pytest.mark.parametrize(
    ("change", "row", "words"),
    [
        (lambda f, r, t: poses_with(f, r[:4], t), None, "for 5 images"),
        (lambda f, r, t: poses_with(f, r, t * 100), None, "in pixels"),
        (lambda f, r, t: poses_with(f, r * 1.1, t), 1, "no rotation"),
        (lambda f, r, t: poses_with(f, -r, t), 1, "no rotation"),
        (lambda f, r, t: poses_with(f, r * np.nan, t), 1, "not a number"),
        (lambda f, r, t: (f / "poses.pkl").write_bytes(b"nothing"), None, "damaged"),
    ],
)
def test_poses_that_cannot_be_read_are_none(
    tmp_path: Path, change: Callable[..., object], row: int | None, words: str
) -> None:
    """Reconstruction does not need them; who does is told why there are none."""
    path, _, *arrays = inputs(tmp_path)
    change(tmp_path, *arrays)
    stack = read_cryodrgn(path)
    assert len(stack) == 5 and stack.poses is None
    with pytest.raises(BadDataError, match=words) as refusal:
        poses_of(stack)
    assert (refusal.value.file, refusal.value.row) == (tmp_path / "poses.pkl", row)
    assert refusal.value.fix


def test_arrays_beside_what_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    path, *_ = inputs(tmp_path / "there")
    link = tmp_path / "linked.txt"
    link.symlink_to(path)
    stack = read_cryodrgn(link)
    assert stack.poses is not None and stack.uids == read_cryodrgn(path).uids


def test_real_files(data_directory: Path, tmp_path: Path) -> None:
    """cryoDRGN's own test set, whose RELION table tells the same CTFs."""
    folder = data_directory / "particles"
    with np.load(data_directory / "metadata" / "empiar10028_ctf.npz") as archive:
        write_arrays(tmp_path / "ctf.pkl", archive["ctf"][:100].astype(np.float32))
    poses = folder / "hand_rot_trans.pkl"
    stack = read_cryodrgn(folder / "hand.mrcs", poses, tmp_path / "ctf.pkl")
    assert len(stack) == 100 and stack.poses is not None
    rotations, translations = pickle.loads(poses.read_bytes())
    assert np.allclose(stack.poses.rotations.numpy(), rotations)
    write_cryodrgn(tmp_path / "hand.txt", stack, stack.poses)
    again = read_arrays(tmp_path / "hand.poses.pkl")
    assert np.array_equal(again[0], rotations.astype(np.float32))
    assert np.allclose(again[1], translations, atol=1e-7)
