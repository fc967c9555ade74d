"""Where numba and matplotlib keep what they compile and look up, if not where they would.

Both stop or complain where they may write neither beside the package nor in the user's home:
a shared installation used by a service account, a container with another user, a batch node
without home folders. They then get a folder of the user's own among the temporary ones.

Called once, by `cryospin/__init__.py`: both read the environment when they are imported.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

_PACKAGE = Path(__file__).parent


def provide_cache_folders() -> None:
    """Set NUMBA_CACHE_DIR and MPLCONFIGDIR where the programs' own choices cannot be written.

    What the user has set stays if it can be used. Where no folder at all can be written,
    nothing is set, and numba says so when it is needed.
    """
    environment = os.environ
    compiled = environment.get("NUMBA_CACHE_DIR")
    # numba's own order: what is set, beside each module, the user's folder
    if not (
        (compiled and _can_write(Path(compiled)))
        or all(_can_write(folder / "__pycache__") for folder in _folders_of_modules())
        or _can_write(_user_folder("XDG_CACHE_HOME", ".cache") / "numba")
    ):
        folder = _private_folder("numba")
        if folder is not None:
            environment["NUMBA_CACHE_DIR"] = str(folder)
            if "numba" in sys.modules:  # imported before: it has read the environment
                sys.modules["numba"].config.CACHE_DIR = str(folder)
    settings = environment.get("MPLCONFIGDIR")
    if not (
        _can_write(Path(settings))
        if settings
        else _can_write(_user_folder("XDG_CONFIG_HOME", ".config") / "matplotlib")
        and _can_write(_user_folder("XDG_CACHE_HOME", ".cache") / "matplotlib")
    ):
        folder = _private_folder("matplotlib")
        if folder is not None:
            environment["MPLCONFIGDIR"] = str(folder)


def _folders_of_modules() -> list[Path]:
    return [_PACKAGE, *(path for path in _PACKAGE.iterdir() if (path / "__init__.py").exists())]


def _user_folder(variable: str, below_home: str) -> Path:
    """As the XDG convention has it; relative where the user has no home at all."""
    return Path(os.environ.get(variable) or os.path.join(os.path.expanduser("~"), below_home))


def _can_write(folder: Path) -> bool:
    """Whether files can be made in `folder`, or the folder itself where it is not there yet."""
    if not folder.is_absolute() and folder.parts[:1] == ("~",):
        return False
    with suppress(OSError):
        for path in (folder, *folder.parents):
            if os.path.lexists(path):
                return path.is_dir() and os.access(path, os.W_OK | os.X_OK)
    return False


def _private_folder(name: str) -> Path | None:
    """A folder that nobody else may write into: compiled code is run as it is found there.

    The same one in every process of the user, so that code is compiled once. Where somebody
    else has taken its name, a new one for this process.
    """
    with suppress(OSError):
        # `gettempdir` fails where not even the working folder can be written
        kept = Path(tempfile.gettempdir()) / f"cryospin-{os.geteuid()}"
        with suppress(FileExistsError):
            kept.mkdir(mode=0o700)
        if not _is_ours(kept):
            kept = _one_time_folder()
        folder = kept / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder
    return None


def _is_ours(folder: Path) -> bool:
    found = folder.lstat()  # a link may lead anywhere
    private = stat.S_IMODE(found.st_mode) & 0o077 == 0
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and private
        and os.access(folder, os.W_OK | os.X_OK)
    )


def _one_time_folder() -> Path:
    import atexit
    import shutil

    folder = tempfile.mkdtemp(prefix="cryospin-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
