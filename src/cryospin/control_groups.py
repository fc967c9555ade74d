"""What Linux control groups grant this process: containers and batch systems limit by them.

Both versions are read, version 2 (`cpu.max`, `memory.max`) and version 1
(`cpu.cfs_quota_us`, `memory.limit_in_bytes`). A group is held to its parents' limits too, so
the smallest on the way up to the mount counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_ROOT = Path("/")


def cpu_quota(root: Path = _ROOT) -> float | None:
    """Cores' worth of time this process is granted, perhaps a fraction; None without a limit.

    root: of the file system, for tests.
    """
    quotas = []
    for folder in _groups("cpu", root):
        with suppress(OSError, ValueError, ZeroDivisionError):
            if (folder / "cpu.max").exists():
                quota, period = (folder / "cpu.max").read_text().split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text()
                period = (folder / "cpu.cfs_period_us").read_text()
            cores = float(quota) / float(period)  # "max" is no number, -1 no limit
            if cores > 0 and math.isfinite(cores):
                quotas.append(cores)
    return min(quotas, default=None)


def memory_limit(root: Path = _ROOT) -> int | None:
    """Bytes this process is granted; None without a limit.

    root: as in `cpu_quota`.
    """
    limits = []
    for folder in _groups("memory", root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):  # "max" is no number
                limits.append(int((folder / name).read_text()))
    # the first version's way to say that there is none
    return min((limit for limit in limits if limit < 2**60), default=None)


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Folders of the process's groups that may limit `controller`, and of their parents."""
    own = _own_groups(controller, root)
    with suppress(OSError):
        for line in (root / "proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            fields, kind = before.split(), after.split()
            if len(fields) < 5 or len(kind) < 3:
                continue
            is_second = kind[0] == "cgroup2"
            if not is_second and not (kind[0] == "cgroup" and controller in kind[2].split(",")):
                continue
            path = own.get("" if is_second else controller)
            if path is not None:
                mount = root / _unescaped(fields[4]).lstrip("/")
                yield from _upward(mount, _unescaped(fields[3]), path)


def _own_groups(controller: str, root: Path) -> dict[str, str]:
    """Paths in /proc/self/cgroup: of the one hierarchy of version 2 ("") and of `controller`."""
    found = {}
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for name in controllers.split(","):
                if name in ("", controller):
                    found[name] = path
    return found


def _upward(mount: Path, mounted: str, path: str) -> Iterator[Path]:
    """`path` as seen below `mount`, which shows the group `mounted`, and its parents below it."""
    relative = Path(path)
    with suppress(ValueError):
        relative = relative.relative_to(mounted)
    parts = [part for part in relative.parts if part != "/"]
    if ".." in parts:  # outside what this name space shows
        parts = []
    for length in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:length])


def _unescaped(field: str) -> str:
    return field.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
