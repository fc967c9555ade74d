import errno
import os
from pathlib import Path

import pytest

from cryospin.errors import ResourceError
from cryospin.io import atomic
from cryospin.io.atomic import atomic_path, check_output_directory


def test_a_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "map.mrc"
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"abc")
        assert not target.exists()
    assert target.read_bytes() == b"abc"
    assert os.listdir(tmp_path) == ["map.mrc"]


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, interruption: type[BaseException]
) -> None:
    target = tmp_path / "map.mrc"
    target.write_bytes(b"old")
    with pytest.raises(interruption), atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise interruption
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["map.mrc"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_refusals_of_the_disk_are_resource_errors(tmp_path: Path, number: int) -> None:
    refusal = pytest.raises(ResourceError, match=r"map\.mrc: .*\n  fix: ")
    with refusal, atomic_path(tmp_path / "map.mrc"):
        raise OSError(number, os.strerror(number))
    assert os.listdir(tmp_path) == []


def test_other_operating_system_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError), atomic_path(tmp_path / "map.mrc"):
        raise ConnectionError


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="this is a folder"), atomic_path(tmp_path):
        raise AssertionError("the block must not run")


def test_missing_folder(tmp_path: Path) -> None:
    refusal = pytest.raises(ResourceError, match="folder does not exist")
    with refusal, atomic_path(tmp_path / "run" / "map.mrc") as temporary:
        temporary.write_bytes(b"abc")


def test_output_directory_is_made(tmp_path: Path) -> None:
    check_output_directory(tmp_path / "a" / "b", needed_bytes=1000)
    assert os.listdir(tmp_path / "a" / "b") == []


def test_output_directory_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ResourceError, match="a part of this path is a file"):
            check_output_directory(path)


def test_output_directory_without_space(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"GB are needed, .* GB are free"):
        check_output_directory(tmp_path, needed_bytes=2**60)


def test_output_directory_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    # root may write anywhere, so the refusal is played
    monkeypatch.setattr(atomic.tempfile, "TemporaryFile", refuse)
    with pytest.raises(ResourceError, match="no permission"):
        check_output_directory(tmp_path)
