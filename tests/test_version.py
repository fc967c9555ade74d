"""Which code this is: it changes with the code, and with nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cryospin import version


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package in a source tree."""
    folder = tmp_path / "checkout" / "src" / "cryospin"
    (folder / "io").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "io" / "star.py").write_text("FORMAT = 1\n")
    (folder / "weights.safetensors").write_bytes(b"12")
    (tmp_path / "checkout" / "pyproject.toml").write_text('[project]\nname = "cryospin"\n')
    return folder


def digest(package: Path) -> str:
    version.code_digest.cache_clear()
    return version.code_digest(package)


@pytest.mark.parametrize(
    "change",
    [
        lambda package: (package / "io" / "star.py").write_text("FORMAT = 2\n"),
        lambda package: (package / "io" / "star.py").rename(package / "star.py"),
        lambda package: (package / "io" / "star.py").unlink(),
        lambda package: (package / "new.py").write_text(""),
        lambda package: (package / "weights.safetensors").write_bytes(b"21"),
    ],
    ids=["content", "moved", "gone", "added", "weights"],
)
def test_the_digest_changes_with_the_code(package: Path, change: Callable[[Path], object]) -> None:
    before = digest(package)
    change(package)
    assert digest(package) != before


def test_the_digest_is_that_of_the_code_alone(package: Path) -> None:
    """Not of where it lies, when it was written, or what Python and numba keep beside it."""
    before = digest(package)
    for name in ("star.cpython-311.pyc", "star.loop-1.py311.nbi"):
        (package / "io" / "__pycache__").mkdir(exist_ok=True)
        (package / "io" / "__pycache__" / name).write_bytes(b"compiled")
    (package / "__init__.py").touch()
    elsewhere = package.parent / "copy"
    shutil.copytree(package, elsewhere)
    assert digest(package) == digest(elsewhere) == before


def test_what_runs_is_digested() -> None:
    assert version.code_digest() == digest(Path(version.__file__).parent)


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True)


def commit_of(package: Path) -> str | None:
    version.checked_out_commit.cache_clear()
    return version.checked_out_commit(package)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_of_a_checkout(package: Path) -> None:
    checkout = package.parents[1]
    assert commit_of(package) is None, "a tree that is no checkout"
    git(checkout, "init")
    assert commit_of(package) is None, "a repository without a commit"
    git(checkout, "add", "-A")
    git(checkout, "commit", "-m", "first")
    first = commit_of(package)
    assert first is not None and len(first) >= 7 and set(first) <= set("0123456789abcdef")
    (package / "io" / "star.py").write_text("FORMAT = 2\n")
    assert commit_of(package) == f"{first}-dirty"
    git(checkout, "commit", "-a", "-m", "second")
    git(checkout, "tag", "v1.2")
    assert commit_of(package) == "v1.2"


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_repository_of_another_project_is_not_ours(package: Path) -> None:
    checkout = package.parents[1]
    (checkout / "pyproject.toml").write_text('[project]\nname = "analysis"\n')
    git(checkout, "init")
    git(checkout, "add", "-A")
    git(checkout, "commit", "-m", "the package is vendored here")
    assert commit_of(package) is None


def test_without_git_there_is_no_commit(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package.parents[1] / ".git").mkdir()
    monkeypatch.setenv("PATH", str(package))
    assert commit_of(package) is None


def test_code_that_was_never_installed_has_a_version_too(package: Path) -> None:
    """Run as `PYTHONPATH=src python -m cryospin...` by a Python that has no such package."""
    for name in ("__init__.py", "caches.py", "version.py"):
        shutil.copy(Path(version.__file__).parent / name, package / name)
    program = "import cryospin; print(cryospin.__version__)"
    # without site-packages
    command = [sys.executable, "-S", "-c", program]
    told = subprocess.run(
        command, env={"PYTHONPATH": str(package.parent)}, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == version.UNKNOWN


def test_other_names_are_not_made_up() -> None:
    import cryospin

    assert cryospin.__version__ == version.installed_version()
    with pytest.raises(AttributeError, match="__versions__"):
        _ = cryospin.__versions__
