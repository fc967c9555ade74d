"""A command as a process of its own: its seconds, its memory, and a limit on both its time and
its patience with us.

Seconds of the processors are told beside those on the wall, which other work on the machine
stretches. Peak memory is read off the process while it runs (`VmHWM`). What the system tells once a
process has ended counts the memory of the process that started it, too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

CRYOSPIN = (sys.executable, "-m", "cryospin.cli.main")
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Ended:
    """How a command ended. exit_code is None where the limit ended it.

    complaint: the last lines of its standard error.
    """

    exit_code: int | None
    seconds: float
    processor_seconds: float
    peak_bytes: int
    complaint: str


def run_command(*words: object, limit_seconds: float | None = None) -> Ended:
    """Run `cryospin WORDS`; past the limit it is killed, with all it started."""
    return run_program(*CRYOSPIN, *words, limit_seconds=limit_seconds)


def run_program(
    *words: object, folder: Path | None = None, limit_seconds: float | None = None
) -> Ended:
    """Run a command line in a folder, likewise. Raises OSError where there is no such program."""
    began, used = time.perf_counter(), _processor_seconds()
    with tempfile.TemporaryFile() as heard:
        process = subprocess.Popen(
            [*map(str, words)],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=heard,
            start_new_session=True,
        )
        try:
            code, peak = _wait(process, began, limit_seconds)
        finally:
            # an interrupted benchmark leaves nothing running
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        seconds = time.perf_counter() - began
        heard.seek(0)
        complaint = heard.read().decode(errors="replace")
    complaint = "\n".join(complaint.splitlines()[-5:])
    return Ended(code, seconds, _processor_seconds() - used, peak, complaint)


def _processor_seconds() -> float:
    """Of all processes that were started here and have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _wait(
    process: subprocess.Popen[bytes], began: float, limit_seconds: float | None
) -> tuple[int | None, int]:
    peak = 0
    while True:
        peak = max(peak, peak_bytes(process.pid))
        try:
            return process.wait(_POLL_SECONDS), peak
        except subprocess.TimeoutExpired:
            if limit_seconds is not None and time.perf_counter() - began > limit_seconds:
                return None, peak


def peak_bytes(process_id: int) -> int:
    """Largest resident memory so far; 0 where the system does not tell (not Linux)."""
    try:
        status = Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
