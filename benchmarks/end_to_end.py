"""Simulate, reconstruct with the command line, score against the truth and the oracle.

    python benchmarks/end_to_end.py --models DIR --structures 3jb9 6vxx:C3 --seeds 1 2 \
        --particles 5000 --box 64 --snr 0.1 --max-shift 3 --work bench

The oracle is what the same data give with everything known: poses refined from the truth
against the true map, and the map made from the true poses. Pixel sizes are chosen so that
the molecule fills two thirds of the box. One JSON line per run goes to WORK/results.jsonl, from
which page.py makes docs/benchmarks.md, and a Markdown row to the terminal. A run counts as a
success when it exits with 0 and either its median rotation error is at most 1.3 times the
oracle's (3 degrees are allowed at any SNR below 0.1), or, where noise hides most orientations
even from the true map, at most 1.3 times as many particles are beyond 10 degrees as an exhaustive
search in the true map leaves there.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path

from cryospin.bench.datasets import Conditions, simulated
from cryospin.bench.ledger import Row
from cryospin.bench.oracle import Oracle, oracle_of
from cryospin.bench.runs import Method, measured
from cryospin.bench.structures import Structure
from cryospin.version import full_version


def main() -> None:
    options = arguments()
    print(
        "| structure | seed | exit | seconds | GB | rotation, deg (oracle) | "
        "beyond 10 deg (oracle) | shift rms, px | FSC 0.5, A (oracle) | 0.143, A | |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for structure in options.structures:
        for seed in options.seeds:
            row, oracle = one_run(options, structure, seed)
            with open(options.work / "results.jsonl", "a") as file:
                file.write(json.dumps(row) + "\n")
            print(markdown(row, oracle), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of PDB/mmCIF files")
    parser.add_argument("--structures", nargs="+", required=True, help="NAME or NAME:SYMMETRY")
    parser.add_argument("--recipe", default="exhaustive")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--particles", type=int, default=5000)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--max-shift", type=float, default=3.0)
    parser.add_argument("--ctf-from", default="drawn")
    parser.add_argument("--views", default="uniform")
    parser.add_argument("--machine", default="this machine", help="in words, for the page")
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    return options


def one_run(options: argparse.Namespace, text: str, seed: int) -> tuple[Row, Oracle]:
    conditions = Conditions(
        options.particles,
        options.box,
        options.snr,
        options.max_shift,
        options.ctf_from,
        options.views,
    )
    structure = Structure.parse(text)
    work = options.work / conditions.label(structure, seed)
    dataset = simulated(structure, conditions, seed, options.models, work / "data")
    oracle = oracle_of(dataset, work / "oracle")
    method = Method(options.recipe, seed)
    row = measured(dataset, method, oracle, work / "run", None)
    row |= {
        "oracle": {
            "median": oracle.median_degrees,
            "lost_in_search": oracle.lost_in_search,
            "searched_median": oracle.searched_median_degrees,
            "fsc_0.5_angstrom": oracle.map["fsc_0.5_angstrom"],
        },
        "machine": options.machine,
        "date": date.today().isoformat(),
        "version": full_version(),
    }
    return row, oracle


def markdown(row: Row, oracle: Oracle) -> str:
    if row["median"] is None:
        return f"| {row['structure']} | {row['seed']} | {row['exit']} | FAILED: {row['complaint']}"
    shift = row["shift_rms_pixel"]
    return (
        f"| {row['structure']} | {row['seed']} | {row['exit']} | {row['seconds']} "
        f"| {row['peak_gb']} | {row['median']:.2f} ({oracle.median_degrees:.2f}) "
        f"| {100 * row['beyond_10']:.1f} % ({100 * oracle.lost_in_search:.1f} %) "
        f"| {'none' if shift is None else f'{shift:.2f}'} "
        f"| {angstrom(row['fsc_0.5_angstrom'])} ({angstrom(oracle.map['fsc_0.5_angstrom'])}) "
        f"| {angstrom(row['claimed_angstrom'])} "
        f"| {'ok' if row['success'] else 'FAILED'} |"
    )


def angstrom(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
