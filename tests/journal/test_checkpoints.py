"""A folder of checkpoints: whole, of this run, and older where the newest is damaged."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from cryospin.errors import ResourceError, UsageError
from cryospin.journal import checkpoints as module
from cryospin.journal.checkpoints import MANIFEST, Checkpoints, remove_checkpoints

RUN: dict[str, Any] = {
    "code": "c0de",
    "version": "1.0 (code c0de)",
    "particle table": "abc",
    "seed": 0,
    "max_shift_angstrom": None,
    "initial_map": "def",
}


class Folder:
    """What a run wrote, and what is told of it later."""

    def __init__(self, path: Path):
        self.path, self.told = path, list[str]()
        self.checkpoints = Checkpoints.begun(path, RUN)

    def resumed(self, run: dict[str, Any] = RUN) -> Checkpoints:
        return Checkpoints.resumed(self.path, run, self.told.append)

    def newest_file(self, part: str) -> Path:
        return max(self.path.glob(f"{part}.*.safetensors"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Two parts, of three and one states."""
    found = Folder(tmp_path / "checkpoints")
    for step in range(3):
        found.checkpoints.write("half1/start1", (step, torch.full((100,), float(step))))
    found.checkpoints.write("half2", "other")
    return found


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = [flip_a_byte, cut, emptied, Path.unlink]


def test_the_newest_state_of_each_part(folder: Folder) -> None:
    again = folder.resumed()
    step, values = again.newest("half1/start1")
    assert step == 2 and torch.equal(values, torch.full((100,), 2.0))
    assert again.newest("half2") == "other" and again.newest("half1") is None
    assert folder.told == []


def test_it_goes_on_from_there(folder: Folder) -> None:
    folder.resumed().write("half2", "newer")
    assert folder.resumed().newest("half2") == "newer"
    assert folder.resumed().newest("half1/start1")[0] == 2


def test_old_states_do_not_pile_up(folder: Folder) -> None:
    for step in range(20):
        folder.checkpoints.write("half2", step)
    # two of each part, and one more that the manifest before the last names
    assert len(list(folder.path.glob("*.safetensors"))) == 5


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_gives_way_to_the_one_before(folder: Folder, damage: Any) -> None:
    damage(folder.newest_file("half1.start1"))
    again = folder.resumed()
    assert again.newest("half1/start1")[0] == 1
    assert len(folder.told) == 1 and "is damaged: the state before it is taken" in folder.told[0]
    assert again.newest("half2") == "other"


def test_both_damaged_begins_at_the_beginning(folder: Folder) -> None:
    for path in folder.path.glob("half1.start1.*"):
        cut(path)
    assert folder.resumed().newest("half1/start1") is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_manifest_gives_way_to_the_one_before(folder: Folder, damage: Any) -> None:
    damage(folder.path / MANIFEST)
    again = folder.resumed()
    assert again.newest("half1/start1")[0] == 2 and again.newest("half2") is None
    # a missing one is what a kill between two renames leaves
    assert len(folder.told) == (0 if damage is Path.unlink else 1)
    again.write("half2", "again")
    assert folder.resumed().newest("half2") == "again"


def test_no_manifest_left_starts_over_with_a_warning(folder: Folder) -> None:
    for path in folder.path.glob("manifest*"):
        cut(path)
    assert folder.resumed().newest("half1/start1") is None
    assert "the run starts over" in folder.told[0]
    assert not list(folder.path.glob("*.safetensors"))


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    fresh = Checkpoints.resumed(tmp_path / "none" / "yet", RUN)
    assert fresh.newest("half1") is None
    fresh.write("half1", 1)
    assert Checkpoints.resumed(tmp_path / "none" / "yet", RUN).newest("half1") == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": 1}, "--seed: 0, not 1\n  fix: --seed 0, or leave out --resume"),
        ({"max_shift_angstrom": 5.0}, "--max-shift: None, not 5.0\n  fix: leave out --max-shift"),
        ({"initial_map": "xyz"}, "--initial-map\n  fix: give the same file to --initial-map"),
        (
            {"code": "beef", "version": "1.0 (code beef)"},
            "version of cryospin: 1.0 (code c0de), not 1.0 (code beef)\n"
            "  fix: go back to that version, or leave out --resume",
        ),
        ({"particle table": "xyz"}, "particle table\n  fix: leave out --resume"),
        ({"symmetry": "C2"}, "--symmetry: None, not C2\n  fix: leave out --symmetry"),
    ],
)
def test_another_run_is_refused(folder: Folder, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as refusal:
        folder.resumed(RUN | changed)
    assert f"is of a run with another {said}" in str(refusal.value)
    assert folder.resumed().newest("half2") == "other"


def test_the_same_code_under_another_version_goes_on(folder: Folder) -> None:
    """A commit that changed no code, or an editable install repeated."""
    assert folder.resumed(RUN | {"version": "1.1 (code c0de)"}).newest("half2") == "other"


def test_a_run_of_the_time_before_codes_were_told_is_refused(tmp_path: Path) -> None:
    before = {name: value for name, value in RUN.items() if name != "code"} | {"version": "0.1.0"}
    Checkpoints.begun(tmp_path / "old", before)
    with pytest.raises(UsageError, match=r"version of cryospin: 0.1.0, not 1.0 \(code c0de\)"):
        Checkpoints.resumed(tmp_path / "old", RUN)


def test_beginning_removes_an_earlier_runs_states_and_nothing_else(folder: Folder) -> None:
    mine = {"mine.txt", "weights.safetensors", "epoch.12.safetensors", ".notes.draft.tmp"}
    for name in mine:
        (folder.path / name).write_text("not ours")
    folder.resumed().write("half2", "another")
    assert mine <= {path.name for path in folder.path.iterdir()}
    Checkpoints.begun(folder.path, RUN)
    assert {path.name for path in folder.path.iterdir()} == {MANIFEST, *mine}
    remove_checkpoints(folder.path)
    assert {path.name for path in folder.path.iterdir()} == mine
    remove_checkpoints(folder.path / "none")


@contextmanager
def refused(
    monkeypatch: pytest.MonkeyPatch, failure: BaseException, at: str, after: int
) -> Iterator[None]:
    """Writing fails: the state's file or the manifest, with some bytes on the disk."""
    real = Path.write_bytes if at == "write_bytes" else Path.write_text

    def broken(path: Path, data: Any) -> None:
        real(path, data[:after])
        raise failure

    with monkeypatch.context() as patched:
        patched.setattr(module.Path, at, broken)
        yield


@pytest.mark.parametrize("at", ["write_bytes", "write_text"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_leaves_the_last_state(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, at: str, number: int
) -> None:
    failure = OSError(number, os.strerror(number))
    with refused(monkeypatch, failure, at, 50), pytest.raises(ResourceError, match="fix: "):
        folder.checkpoints.write("half1/start1", "lost")
    assert folder.resumed().newest("half1/start1")[0] == 2
    # once there is room again, the same process can go on as well
    folder.checkpoints.write("half1/start1", "found")
    assert folder.resumed().newest("half1/start1") == "found"


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", ["write_bytes", "write_text"])
def test_killed_while_writing(folder: Folder, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    # a process that is killed does not tidy up behind itself
    with refused(monkeypatch, Killed(), at, 10), pytest.raises(Killed):
        monkeypatch.setattr(Path, "unlink", lambda path, missing_ok=False: None)
        folder.checkpoints.write("half1/start1", "lost")
    monkeypatch.undo()
    assert list(folder.path.glob(".*.tmp"))
    assert folder.resumed().newest("half1/start1")[0] == 2
    assert not list(folder.path.glob(".*.tmp")) and folder.told == []


def test_killed_between_the_two_renames(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.replace

    def killed(source: Path, target: Path) -> None:
        real(source, target)
        if target.name == "manifest.previous.json":
            raise Killed

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(Killed):
        folder.checkpoints.write("half1/start1", "lost")
    monkeypatch.undo()
    assert folder.resumed().newest("half1/start1")[0] == 2 and folder.told == []
