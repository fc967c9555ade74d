"""Quotas of control groups, read from made-up /proc and /sys trees of both versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cryospin import control_groups
from cryospin.control_groups import cpu_quota, memory_limit
from cryospin.threads import available_cores

SECOND = "35 24 0:30 {mounted} /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw"
FIRST = "33 31 0:30 {mounted} /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct"


def tree(root: Path, mount: str, groups: str, files: dict[str, str], mounted: str = "/") -> Path:
    own = root / "proc/self"
    own.mkdir(parents=True)
    (own / "mountinfo").write_text(
        "22 1 254:1 / / rw - ext4 /dev/x rw\n" + mount.format(mounted=mounted)
    )
    (own / "cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def first(quota: int, period: int, folder: str = "") -> dict[str, str]:
    return {
        f"cpu/{folder}cpu.cfs_quota_us": f"{quota}\n",
        f"cpu/{folder}cpu.cfs_period_us": f"{period}\n",
    }


CASES = {
    "second version": (SECOND, "0::/\n", {"cpu.max": "150000 100000\n"}, "/", 1.5),
    "no limit": (SECOND, "0::/a\n", {"a/cpu.max": "max 100000\n"}, "/", None),
    "no limit set at the root": (SECOND, "0::/a\n", {"a/cgroup.procs": ""}, "/", None),
    "a parent is tighter": (
        SECOND,
        "0::/batch/job/step\n",
        {
            "batch/cpu.max": "800000 100000",
            "batch/job/cpu.max": "200000 100000",
            "batch/job/step/cpu.max": "max 100000",
        },
        "/",
        2.0,
    ),
    "a neighbour's is not ours": (
        SECOND,
        "0::/a\n",
        {"a/cpu.max": "400000 100000", "b/cpu.max": "100000 100000"},
        "/",
        4.0,
    ),
    "a container sees its group as the mount": (
        SECOND,
        "0::/docker/abc/inner\n",
        {"cpu.max": "300000 100000", "inner/cpu.max": "250000 100000"},
        "/docker/abc",
        2.5,
    ),
    "a group outside the name space": (
        SECOND,
        "0::/../../other\n",
        {"cpu.max": "300000 100000"},
        "/",
        3.0,
    ),
    "first version": (FIRST, "4:cpu,cpuacct:/\n", first(50000, 100000), "/", 0.5),
    "first version without a limit": (FIRST, "4:cpu,cpuacct:/\n", first(-1, 100000), "/", None),
    "first version, nested": (
        FIRST,
        "9:memory:/x\n4:cpu,cpuacct:/a/b\n0::/\n",
        first(-1, 100000, "a/b/") | first(200000, 50000, "a/") | first(-1, 100000),
        "/",
        4.0,
    ),
    "both mounted, first in charge of cores": (
        FIRST + "\n36 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
        "4:cpu:/a\n0::/a\n",
        first(300000, 100000, "a/"),
        "/",
        3.0,
    ),
    "nonsense": (SECOND, "0::/\n", {"cpu.max": "a lot\n"}, "/", None),
    "a period of zero": (FIRST, "4:cpu:/\n", first(100, 0), "/", None),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_quota(tmp_path: Path, case: tuple[str, str, dict[str, str], str, float | None]) -> None:
    mount, groups, files, mounted, expected = case
    assert cpu_quota(tree(tmp_path, mount, groups, files, mounted)) == expected


MEMORY_FIRST = "33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
MEMORY = {
    "second version": (SECOND, "0::/a\n", {"a/memory.max": "8000000\n"}, 8_000_000),
    "a parent is tighter": (
        SECOND,
        "0::/a/b\n",
        {"a/memory.max": "5000000\n", "a/b/memory.max": "max\n"},
        5_000_000,
    ),
    "no limit": (SECOND, "0::/a\n", {"a/memory.max": "max\n"}, None),
    "first version": (
        MEMORY_FIRST,
        "4:memory:/a\n",
        {"memory/a/memory.limit_in_bytes": "7000000\n"},
        7_000_000,
    ),
    "first version without a limit": (
        MEMORY_FIRST,
        "4:memory:/\n",
        {"memory/memory.limit_in_bytes": "9223372036854771712\n"},
        None,
    ),
    "nonsense": (SECOND, "0::/\n", {"memory.max": "plenty\n"}, None),
}


@pytest.mark.parametrize("case", MEMORY.values(), ids=MEMORY.keys())
def test_memory(tmp_path: Path, case: tuple[str, str, dict[str, str], int | None]) -> None:
    mount, groups, files, expected = case
    assert memory_limit(tree(tmp_path, mount, groups, files)) == expected


def test_systems_without_control_groups(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None


@pytest.mark.parametrize(
    ("quota", "cores"), [(None, 8), (0.2, 1), (1.0, 1), (1.5, 2), (7.5, 8), (64.0, 8)]
)
def test_threads_by_default(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(control_groups, "cpu_quota", lambda: quota)
    assert available_cores() == cores
