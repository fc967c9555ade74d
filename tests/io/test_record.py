"""Which files are ours: by name and content, whatever happens in between."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cryospin.io.atomic import atomic_path
from cryospin.io.record import RECORD, begin_record, is_ours


def write(path: Path, content: bytes = b"ours") -> Path:
    path.parent.mkdir(exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return path


def test_without_a_record_nothing_is_ours_and_none_is_begun(tmp_path: Path) -> None:
    assert not is_ours(write(tmp_path / "map.mrc"))
    assert os.listdir(tmp_path) == ["map.mrc"]


@pytest.mark.parametrize("name", ["map.mrc", "not_converged/map.mrc"])
def test_what_was_written_is_ours_however_often(tmp_path: Path, name: str) -> None:
    begin_record(tmp_path)
    for content in (b"one", b"two", b""):
        assert is_ours(write(tmp_path / name, content))
    assert not is_ours(tmp_path / "none.mrc")


def replaced(path: Path) -> None:
    path.write_bytes(b"a user's")


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def renamed(path: Path) -> None:
    """The content is ours, but under this name it was a user who put it there."""
    write(path.with_name("half1.mrc"), b"other").replace(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("change", [replaced, linked, renamed, a_folder])
def test_what_was_changed_is_not(tmp_path: Path, change: Callable[[Path], None]) -> None:
    begin_record(tmp_path)
    path = write(tmp_path / "map.mrc")
    change(path)
    assert path.exists() and not is_ours(path)


def test_what_grows_is_known_by_name(tmp_path: Path) -> None:
    for _ in range(2):
        begin_record(tmp_path, ["log.jsonl", "checkpoints"])
    (tmp_path / "log.jsonl").write_text("one\ntwo\n")
    (tmp_path / "checkpoints").mkdir()
    assert is_ours(tmp_path / "log.jsonl") and is_ours(tmp_path / "checkpoints")
    assert len((tmp_path / RECORD).read_text().splitlines()) == 2
    (tmp_path / "log.jsonl").rename(tmp_path / "other")
    (tmp_path / "log.jsonl").symlink_to("other")
    assert not is_ours(tmp_path / "log.jsonl")


def test_a_copied_folder_is_ours(tmp_path: Path) -> None:
    begin_record(tmp_path / ".")
    write(tmp_path / "map.mrc")
    for path in (copy := Path(shutil.copytree(tmp_path, tmp_path / "copy"))).iterdir():
        os.utime(path, (1, 1))
    assert is_ours(copy / "map.mrc")


def test_a_line_that_was_cut_off_costs_itself_only(tmp_path: Path) -> None:
    begin_record(tmp_path)
    one = write(tmp_path / "one")
    record = tmp_path / RECORD
    record.write_bytes(record.read_bytes() + b'{"file": "tw')
    other = write(tmp_path / "other")
    assert is_ours(one) and is_ours(other) and not is_ours(tmp_path / "tw")


def test_killed_as_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and after the rename the file is one of ours."""
    begin_record(tmp_path)
    path = write(tmp_path / "map.mrc", b"before")

    def killed(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write(path, b"after")
    assert path.read_bytes() == b"before" and is_ours(path)
    path.write_bytes(b"after")
    assert is_ours(path)
