"""`configure_threads`, in a process of its own: thread pools are made once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cryospin.errors import UsageError
from cryospin.threads import available_cores, configure_threads


def test_all_libraries_get_the_same_number() -> None:
    program = (
        "import os; from cryospin.threads import configure_threads; "
        "n = configure_threads(1); import numba, torch; "
        "print(n, numba.get_num_threads(), torch.get_num_threads(), os.environ['OMP_NUM_THREADS'])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["1", "1", "1", "1"]


def test_a_launched_pool_can_be_used_in_part_and_again_in_full() -> None:
    program = (
        "from cryospin.threads import configure_threads; "
        "configure_threads(2); import numba; "
        "numba.njit(parallel=True)(lambda n: n + 1)(1); "
        "counts = [];"
        "[(configure_threads(n), counts.append(numba.get_num_threads())) for n in (1, 2, 4)]; "
        "numba.njit(lambda n: n - 1)(1); print(*counts)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["1", "2", "2"]


def test_fewer_than_one_thread_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--threads"):
        configure_threads(0)


def test_available_cores_are_those_this_process_may_run_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three of a machine of 64: what a container or a scheduler allows."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 5, 6}, raising=False)
    assert available_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # not on every system
    assert available_cores() == 64
