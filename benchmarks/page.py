"""docs/benchmarks.md from the rows of one results file.

    python benchmarks/page.py benchmarks/results.jsonl > docs/benchmarks.md

A row of the file is one run, as end_to_end.py writes it. A row of the page is all runs of one
size, noise and machine. It says which version they were made with; runs of a version that is not
known (`null`) are marked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

Row = dict[str, Any]

PEERS = Path(__file__).with_name("peers.md")
COLUMNS = (
    "images", "SNR", "on", "runs", "success", "rotation error, degrees", "over the oracle's",
    "FSC 0.5 to the truth over the oracle's", "seconds", "GB", "measured",
)  # fmt: skip

HEAD = """# Benchmarks

Simulated images with CTFs, recipe `exhaustive`, whole command. Each number is the median over the
runs of a row. The *oracle* is what the same images give when everything is known: poses refined
from the truth against the true map, and the map made from the true poses. A run succeeds if it
converges and its median rotation error is at most 1.3 times the oracle's (3 degrees below SNR 0.1),
or if it leaves at most 1.3 times as many particles beyond 10 degrees as an exhaustive search in
the true map. "–" was not measured.

"""
MARK = """
\\* Measured with an earlier version of the code, on a machine that also did other work: times are
upper bounds. These rows will be measured again.
"""
TAIL = """
## Make this page

<!-- not run: hours of work -->
```sh
python benchmarks/end_to_end.py --models DIR --work bench --particles 5000 --snr 0.1 \\
    --structures 1e6v:C2 4zxb 6vxx:C3 7DDO adk_open --seeds 11 12 \\
    --machine "one thread of an AMD EPYC at 2.6 GHz, beside other work"
python benchmarks/page.py bench/results.jsonl > docs/benchmarks.md
```

The rows of more noise: `--structures 3jb9 7DDO 1e6v:C2 4zxb 1u6g` with `--particles 10000
--snr 0.03 --seeds 21 22`, and with `--particles 20000 --snr 0.01 --seeds 21` on the Xeon and
`--seeds 22` on the EPYC; those on the Xeon are of code whose likelihood was too sharp
([CHANGELOG](../CHANGELOG.md)). `OMP_NUM_THREADS=1` and `NUMBA_NUM_THREADS=1` make it one thread.

`DIR` has the models as PDB or mmCIF files. Every run is a line of `benchmarks/results.jsonl`.
[Earlier measurements](history/benchmarks-2026-11.md) are kept with their commands: real particles,
preferred views, the other recipes, pairs of images, kernels. [gpu.md](gpu.md) has the runs on a
graphics card in full.

## Published figures of other programs

Of other data and machines; the sources say how they were measured. On the same images:
[side-by-side.md](side-by-side.md).

"""


def read_rows(path: Path) -> list[Row]:
    """The last row of each run."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    named = {(*setting(row), row["structure"], row["seed"]): row for row in rows}
    return list(named.values())


def setting(row: Row) -> tuple[Any, ...]:
    """What the runs of one row of the page have in common."""
    names = ("machine", "particles", "box", "snr", "max_shift_pixel", "recipe")
    return tuple(row[name] for name in names)


def page(rows: list[Row]) -> str:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(setting(row), []).append(row)
    lines = [COLUMNS, ("---",) * len(COLUMNS), *map(cells, groups.values())]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    mark = MARK if any(row["version"] is None for row in rows) else ""
    return HEAD + table + mark + TAIL + PEERS.read_text()


def cells(runs: list[Row]) -> tuple[str, ...]:
    first = runs[0]
    judged = [run["success"] for run in runs if run["success"] is not None]
    versions = sorted({run["version"] or f"{run['date']} \\*" for run in runs})
    return (
        f"{first['particles']:,} x {first['box']}",
        f"{first['snr']:g}",
        first["machine"],
        str(len(runs)),
        f"{sum(judged)} of {len(judged)}" if judged else converged(runs),
        middle((run["median"] for run in runs), ".2f"),
        middle((over_oracle(run, "median") for run in runs), ".2f"),
        middle((over_oracle(run, "fsc_0.5_angstrom") for run in runs), ".2f"),
        middle((run["seconds"] for run in runs), ".0f"),
        middle((run["peak_gb"] for run in runs), ".1f"),
        ", ".join(versions),
    )


def converged(runs: list[Row]) -> str:
    """Where no oracle judges."""
    return f"{sum(run['exit'] == 0 for run in runs)} of {len(runs)} converged"


def over_oracle(run: Row, name: str) -> float | None:
    """A run's number over the oracle's; None where either is missing."""
    if run["oracle"] is None or run[name] is None or run["oracle"][name] is None:
        return None
    return float(run[name] / run["oracle"][name])


def middle(values: Iterable[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return format(median(known), form) if known else "–"


if __name__ == "__main__":
    sys.stdout.write(page(read_rows(Path(sys.argv[1]))))
