"""Commands as processes: exit codes, memory, and a limit that holds."""

from __future__ import annotations

import os
import time
from pathlib import Path

from cryospin.bench.processes import peak_bytes, run_command


def test_a_command_that_ends() -> None:
    ended = run_command("--version")
    assert ended.exit_code == 0 and ended.seconds > 0 and ended.complaint == ""
    # an interpreter and its imports; what other commands used does not count
    assert 0 < ended.processor_seconds < 60
    assert ended.processor_seconds < os.cpu_count() * ended.seconds


def test_a_command_that_fails_tells_why() -> None:
    ended = run_command("fly")
    assert ended.exit_code == 2 and "fly" in ended.complaint
    # less than a bare interpreter takes; that it is read at all is the point
    assert ended.peak_bytes > 5e6


def test_the_limit_ends_it(tmp_path: Path) -> None:
    began = time.perf_counter()
    ended = run_command("demo", "--out", tmp_path / "demo", limit_seconds=0.3)
    # the demo takes half a minute
    assert ended.exit_code is None and time.perf_counter() - began < 10


def test_memory_of_a_process() -> None:
    assert peak_bytes(os.getpid()) > 1e7
    assert peak_bytes(2**30) == 0
