"""Compiled code and matplotlib's files find a place, whoever runs the program, and a safe one."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cryospin import caches

VARIABLES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package and a home that cannot be written (by root either), and a temporary folder."""
    for name in VARIABLES:
        # set first: what the code under test sets is taken back, too
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name in ("package", "home", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(caches, "_PACKAGE", tmp_path / "package")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    forbidden = [tmp_path / "package", tmp_path / "home"]
    allowed = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path) not in forbidden and allowed(path, mode)
    )
    return tmp_path


def folders() -> tuple[str | None, str | None]:
    caches.provide_cache_folders()
    return os.environ.get("NUMBA_CACHE_DIR"), os.environ.get("MPLCONFIGDIR")


def test_nothing_is_set_where_the_programs_find_their_own(machine: Path) -> None:
    os.environ["HOME"] = str(machine / "another")
    assert folders() == (None, None)
    assert not (machine / "another").exists(), "looking must not make folders"


def test_beside_the_package_is_enough_for_numba(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine / "mine").mkdir()
    monkeypatch.setattr(caches, "_PACKAGE", machine / "mine")
    numba, matplotlib = folders()
    assert numba is None and matplotlib is not None


def test_a_private_folder_otherwise(machine: Path) -> None:
    numba, matplotlib = folders()
    private = machine / "tmp" / f"cryospin-{os.geteuid()}"
    assert (numba, matplotlib) == (str(private / "numba"), str(private / "matplotlib"))
    for folder in (private, private / "numba", private / "matplotlib"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    # what is there is used again
    os.environ.pop("NUMBA_CACHE_DIR")
    assert folders()[0] == numba


@pytest.mark.parametrize("variable", ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME"])
def test_a_folder_of_the_users_choice_stays(machine: Path, variable: str) -> None:
    os.environ[variable] = str(machine / "chosen")
    folders()
    assert os.environ.get("NUMBA_CACHE_DIR") == (
        str(machine / "chosen") if variable == "NUMBA_CACHE_DIR" else None
    )


def test_a_choice_that_cannot_be_written_does_not(machine: Path) -> None:
    os.environ["NUMBA_CACHE_DIR"] = os.environ["MPLCONFIGDIR"] = str(machine / "home" / "cache")
    numba, matplotlib = folders()
    assert numba is not None and Path(numba).is_relative_to(machine / "tmp")
    assert matplotlib is not None and Path(matplotlib).is_relative_to(machine / "tmp")


def test_no_home_at_all_is_no_folder_called_tilde(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `expanduser` returns for a user whom the system does not know."""
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    numba, _ = folders()
    assert numba is not None and Path(numba).is_relative_to(machine / "tmp")


def trap_open(place: Path) -> None:
    place.mkdir()
    place.chmod(0o777)


def trap_link(place: Path) -> None:
    elsewhere = place.parent / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    place.symlink_to(elsewhere)


def trap_dangling(place: Path) -> None:
    place.symlink_to(place.parent / "nowhere")


def trap_file(place: Path) -> None:
    place.write_text("")


def trap_owner(place: Path) -> None:
    place.mkdir(mode=0o700)
    os.chown(place, 65534, 65534)


@pytest.mark.parametrize("trap", [trap_open, trap_link, trap_dangling, trap_file, trap_owner])
def test_what_others_may_have_laid_there_is_not_used(machine: Path, trap: object) -> None:
    if trap is trap_owner and os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    place = machine / "tmp" / f"cryospin-{os.geteuid()}"
    trap(place)
    numba, _ = folders()
    assert numba is not None
    parent = Path(numba).parent
    assert parent != place and parent.is_relative_to(machine / "tmp")
    assert stat.S_IMODE(parent.stat().st_mode) == 0o700
    assert not list(place.iterdir() if place.is_dir() else ())


def test_nothing_to_write_into_is_told_by_numba(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert folders() == (None, None)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Where every user may write; pytest's own folders are closed."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o1777)
        yield Path(folder)


def open_to_all(path: Path) -> bool:
    return all(stat.S_IMODE(folder.stat().st_mode) & 0o001 for folder in path.resolve().parents)


def interpreter_for_others() -> str | None:
    """This interpreter, or the system's of the same version where this one lies in root's home."""
    system = Path("/usr/bin") / f"python3.{sys.version_info.minor}"
    known = [Path(sys.executable), *([system] if system.exists() else [])]
    return next((str(path) for path in known if open_to_all(path)), None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_without_name_or_home(open_folder: Path) -> None:
    """The package itself is one that this user cannot write."""
    interpreter = interpreter_for_others()
    if interpreter is None:
        pytest.skip("no interpreter that another user may run")
    packages = [path for path in sys.path if not path.startswith(sys.base_prefix)]
    program = (
        "import os; os.setgroups([]); os.setgid(54321); os.setuid(54321);"
        "import cryospin.parallel as p, matplotlib;"
        "assert p._woken() == 1; print(matplotlib.get_configdir(), os.environ['NUMBA_CACHE_DIR'])"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(packages),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(open_folder),
    }
    result = subprocess.run(
        [interpreter, "-c", program], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    private = open_folder / "cryospin-54321"
    assert result.stdout.split() == [str(private / "matplotlib"), str(private / "numba")]
    assert "matplotlib" not in result.stderr
