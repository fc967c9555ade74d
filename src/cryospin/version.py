"""Which code this is: the version it was installed as, the commit checked out, its files' digest.

An editable install keeps the version it was installed as while its code changes; the digest
changes with the code.
"""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent
_COMPUTING = {".py", ".safetensors"}  # files that a result may depend on
UNKNOWN = "0+unknown"
"""Stands for the version of code that runs without having been installed."""


@cache
def installed_version() -> str:
    """From the package's metadata, made of the repository's tags and commits when it was built."""
    # a quarter of what --help may take
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(_PACKAGE.name)
    except PackageNotFoundError:
        return UNKNOWN


@cache
def code_digest(package: Path = _PACKAGE) -> str:
    """12 hexadecimal digits of the SHA-256 of the package's files, of their names and contents."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.suffix in _COMPUTING:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(package).as_posix()} {content}\n".encode())
    return digest.hexdigest()[:12]


@cache
def checked_out_commit(package: Path = _PACKAGE) -> str | None:
    """The commit, as `git describe` has it, with "-dirty" where files were changed since; None
    where the package does not run from a checkout, or git cannot tell."""
    checkout = package.parents[1]
    project = checkout / "pyproject.toml"
    # only of our own repository, not of one that the package was installed into
    ours = project.is_file() and f'name = "{package.name}"' in project.read_text()
    if not (ours and (checkout / ".git").exists()):
        return None
    command = ["git", "-C", str(checkout), "describe", "--tags", "--always", "--dirty"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip() or None


def full_version() -> str:
    """All of it, for people."""
    commit = checked_out_commit()
    checkout = "" if commit is None else f"commit {commit}, "
    return f"{installed_version()} ({checkout}code {code_digest()})"
