"""How much of a run's work only one core can do, counted in seconds of the processor.

    python benchmarks/serial_share.py TABLE.star --work DIR [--sizes 1000 3000] [--for 50000]

Runs `reconstruct` on the first particles of a table, with one thread, and counts the seconds
that are spent inside what is shared among threads: blocks of particles (`in_blocks`), the
compiled kernels and the transforms of volumes. All else is serial. Counted, not timed by the
clock: other work on the machine does not matter, nor the number of its cores.

Each stage's serial and shared seconds are taken to grow from the smaller to the larger size, and
at the same rate beyond; where they fell, they are taken to stay. Maps are of the box: use images
of the size that the answer is for. Compile everything first, by a run before: compiling is
serial, too. What is shared is not shared among any number of cores: six placements of a map
occupy six.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any


class Account:
    """Seconds of the processor per stage, in all and inside of what threads share."""

    def __init__(self) -> None:
        self.total: dict[str, float] = defaultdict(float)
        self.shared: dict[str, float] = defaultdict(float)
        self.stage = "other"
        self._begun = 0.0
        self._inside = threading.local()

    @contextmanager
    def during(self, stage: str) -> Iterator[None]:
        before = self.stage
        self._close(stage)
        try:
            yield
        finally:
            self._close(before)

    def _close(self, stage: str) -> None:
        now = time.process_time()
        self.total[self.stage] += now - self._begun
        self.stage, self._begun = stage, now

    def shared_work(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its seconds counted as shared; what it calls is not counted twice."""

        @wraps(function)
        def counted(*args: Any, **keywords: Any) -> Any:
            if getattr(self._inside, "yes", False):
                return function(*args, **keywords)
            self._inside.yes, before = True, time.thread_time()
            try:
                return function(*args, **keywords)
            finally:
                self._inside.yes = False
                self.shared[self.stage] += time.thread_time() - before

        return counted

    def watch(self) -> None:
        """Put the counters where work is shared out."""
        import scipy.fft

        from cryospin import parallel
        from cryospin.kernels import loops
        from cryospin.reconstruct.monitor import Monitor

        account = self

        class CountingPool(ThreadPoolExecutor):
            def submit(self, fn: Any, /, *args: Any, **keywords: Any) -> Future[Any]:
                # `together` has two jobs or three, and what these share out counts by itself
                few = "together" in getattr(fn, "__qualname__", "")
                return super().submit(fn if few else account.shared_work(fn), *args, **keywords)

        parallel.ThreadPoolExecutor = CountingPool
        for name in ("slice_loop", "insert_loop", "normal_equations_loop", "losses_loop"):
            setattr(loops, name, self.shared_work(getattr(loops, name)))
        for name in ("rfftn", "irfftn"):
            setattr(scipy.fft, name, self.shared_work(getattr(scipy.fft, name)))
        told = Monitor.stage

        @contextmanager
        def stage(monitor: Monitor, name: str) -> Iterator[None]:
            with account.during(name), told(monitor, name):
                yield

        Monitor.stage = stage  # type: ignore[method-assign, assignment]


def run_one(arguments: list[str]) -> None:
    """In a process of its own: run the command line and print the account."""
    from cryospin.cli.main import main
    from cryospin.threads import configure_threads

    configure_threads(1)
    account = Account()
    account.watch()
    code: object = 0
    with account.during("other"):
        try:
            main([*arguments, "--threads", "1"])
        except SystemExit as end:
            code = end.code
    print(json.dumps({"exit": code, "total": account.total, "shared": account.shared}))


def counted_run(table: Path, size: int, work: Path, seed: int) -> dict[str, Any]:
    subset = first_particles(table, size)
    arguments = ["reconstruct", str(subset), "--out", str(work / str(size)), "--seed", str(seed)]
    result = subprocess.run(
        [sys.executable, __file__, "--run", *arguments], capture_output=True, text=True
    )
    if result.returncode != 0:
        raise SystemExit(result.stderr)
    return json.loads(result.stdout.splitlines()[-1])


def first_particles(table: Path, size: int) -> Path:
    """A table of the first `size` rows beside the whole one, where its stacks are found."""
    from cryospin.io.star import StarFile, read_star
    from cryospin.io.star_writer import write_star

    blocks = read_star(table).blocks
    rows = blocks["particles"].table
    kept = blocks["particles"].with_table({name: column[:size] for name, column in rows.items()})
    path = table.with_name(f"{table.stem}-first{size}.star")
    write_star(path, StarFile(blocks | {"particles": kept}))
    return path


def main() -> None:
    if sys.argv[1:2] == ["--run"]:
        return run_one(sys.argv[2:])
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", type=Path, help="RELION .star of simulated particles")
    parser.add_argument("--sizes", nargs=2, type=int, default=[1000, 3000])
    parser.add_argument("--for", dest="asked", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    small, large = sorted(options.sizes)
    runs = {n: counted_run(options.table, n, options.work, options.seed) for n in (small, large)}
    print(json.dumps(runs))

    def at(stage: str, kind: str, size: int) -> float:
        low, high = (
            runs[n]["shared"].get(stage, 0.0)
            if kind == "shared"
            else runs[n]["total"][stage] - runs[n]["shared"].get(stage, 0.0)
            for n in (small, large)
        )
        return high + max(0.0, high - low) * (size - large) / (large - small)

    stages = [name for name in runs[large]["total"] if name in runs[small]["total"]]
    print(f"| stage | shared, s at {large:,} | serial | shared, s at {options.asked:,} | serial |")
    print("|---|---|---|---|---|")
    sums = [0.0] * 4
    for stage in stages:
        row = [at(stage, k, n) for n in (large, options.asked) for k in ("shared", "serial")]
        sums = [a + b for a, b in zip(sums, row, strict=True)]
        print(f"| {stage} | " + " | ".join(f"{value:.1f}" for value in row) + " |")
    print("| all | " + " | ".join(f"{value:.1f}" for value in sums) + " |")
    for size, shared, serial in ((large, *sums[:2]), (options.asked, *sums[2:])):
        print(f"serial share at {size:,} particles: {100 * serial / (shared + serial):.1f} %")


if __name__ == "__main__":
    main()
