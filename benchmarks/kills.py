"""Runs of which a process is killed at a random moment, and that go on elsewhere: the same bits?

    python benchmarks/kills.py --particles s/particles.star --moments 20 --work kills

Each moment: so many ranks are drawn (1 to 4), one of them is killed (SIGKILL) at a time drawn from
the length of a whole run, and the run is resumed on another number of ranks. The map and the table
must be those of a run that nothing happened to. Prints a row for each, and exits with 1 if one
differs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

Started = subprocess.Popen[bytes]
RESULTS = ("map.mrc", "half1.mrc", "half2.mrc", "particles.star")


def main() -> None:
    options = arguments()
    rng = np.random.default_rng(options.seed)
    whole = [whole_run(options, ranks) for ranks in (1, 2, 3, 4)]
    expected = whole[0][0]
    assert all(found == expected for found, _ in whole), "ranks alone change the result"
    print("| moment | ranks | killed after, s | was alive | resumed on | same |")
    print("|---|---|---|---|---|---|", flush=True)
    differing = 0
    for moment in range(options.moments):
        out = options.work / f"moment{moment}"
        ranks, others = rng.choice((1, 2, 3, 4), 2, replace=False)
        after = rng.uniform(0.1, 1.0) * whole[ranks - 1][1]
        alive = killed(options, out, int(ranks), after, int(rng.integers(ranks)))
        begun(options, out, int(others), "--resume").wait()
        same = fingerprint(out) == expected
        differing += not same
        print(
            f"| {moment + 1} | {ranks} | {after:.1f} | {'yes' if alive else 'no'} | {others} "
            f"| {'yes' if same else 'NO'} |",
            flush=True,
        )
    sys.exit(differing > 0)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--particles", type=Path, required=True, help="table of a small data set")
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--memory", type=float, help="GB, as of cryospin reconstruct")
    parser.add_argument("--seed", type=int, default=1, help="of ranks and moments")
    parser.add_argument("--work", type=Path, required=True)
    return parser.parse_args()


def begun(options: argparse.Namespace, out: Path, ranks: int, *more: str) -> Started:
    """A run of so many ranks by torchrun, one thread each; of one without it."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    words = [sys.executable, *(torchrun if ranks > 1 else []), "-m", "cryospin", "reconstruct"]
    words += [str(options.particles), "--out", str(out), "--threads", "1", "--device", "cpu"]
    words += ["--checkpoint-seconds", "0.5", *more]
    words += [] if options.memory is None else ["--memory", str(options.memory)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def whole_run(options: argparse.Namespace, ranks: int) -> tuple[str, float]:
    """What an undisturbed run wrote, and its seconds."""
    start = time.perf_counter()
    out = options.work / f"ranks{ranks}"
    begun(options, out, ranks).wait()
    return fingerprint(out), time.perf_counter() - start


def killed(options: argparse.Namespace, out: Path, ranks: int, after: float, which: int) -> bool:
    """Whether the rank was alive when it was killed; all have ended."""
    run = begun(options, out, ranks)
    time.sleep(after)
    found = [run.pid] if ranks == 1 else children(run.pid)
    alive = run.poll() is None and which < len(found)
    if alive:
        os.kill(found[which], signal.SIGKILL)
    run.wait()
    return alive


def children(pid: int) -> list[int]:
    """Processes that a process has started (Linux)."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(word) for word in text.split()]


def fingerprint(out: Path) -> str:
    """Of the results, wherever the verdict put them."""
    found = hashlib.sha256()
    for name in RESULTS:
        place = out / name if (out / name).exists() else out / "not_converged" / name
        found.update(place.read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    main()
