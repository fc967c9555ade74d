"""Is the point group found, and does finding it cost anything? Whole runs on simulated images.

    python benchmarks/symmetry.py --models DIR --work symmetry --seeds 41 42 \
        --structures 2cg9:C2 6vxx:C3 1mnf_ring:C7 1mnf:D7 4v1w:O 3jb9 1u6g 3sn6 7DDO 5gjv

Each structure is run with --symmetry auto, and one that has a group also with it given. NAME:GROUP
is the truth. One JSON line per run goes to WORK/symmetry.jsonl, a Markdown row to the terminal.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from cryospin.bench.datasets import Conditions, Dataset, simulated
from cryospin.bench.processes import run_command
from cryospin.bench.runs import Method, scored
from cryospin.bench.structures import Structure


def main() -> None:
    options = arguments()
    conditions = Conditions(options.particles, options.box, options.snr, options.max_shift)
    print("| structure | seed | told | exit | imposed | in the map | the images lose | "
          "rotation, deg | beyond 10 deg | FSC 0.5, A | processor s |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for text in options.structures:
        structure = Structure.parse(text)
        for seed in options.seeds:
            work = options.work / conditions.label(structure, seed)
            dataset = simulated(structure, conditions, seed, options.models, work / "data")
            for told in ("auto", structure.symmetry):
                if told == "C1":
                    continue
                row = one_run(dataset, Method("exhaustive", seed, symmetry=told), work / told)
                with open(options.work / "symmetry.jsonl", "a") as file:
                    file.write(json.dumps(row) + "\n")
                print(markdown(row), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of PDB/mmCIF files")
    parser.add_argument("--structures", nargs="+", required=True, help="NAME or NAME:SYMMETRY")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--particles", type=int, default=3000)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--max-shift", type=float, default=2.0)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    return options


def one_run(dataset: Dataset, method: Method, out: Path) -> dict[str, Any]:
    ended = run_command(*method.words(dataset, out))
    score = scored(dataset, ended, out)
    found: dict[str, Any] = {"symmetry": None, "symmetry_found": None}
    if score["median"] is not None:
        found = json.loads((out / "result.json").read_text())
    return {
        "structure": dataset.structure.name,
        "symmetry": dataset.structure.symmetry,
        "seed": method.seed,
        "told": method.symmetry,
        "exit": ended.exit_code,
        "imposed": found["symmetry"],
        "found": found["symmetry_found"],
        "processor_seconds": round(ended.processor_seconds, 1),
        **{name: score[name] for name in ("median", "beyond_10", "fsc_0.5_angstrom")},
    }


def markdown(row: dict[str, Any]) -> str:
    start = f"| {row['structure']}:{row['symmetry']} | {row['seed']} | {row['told']} "
    if row["median"] is None:
        return start + f"| {row['exit']} | no map"
    found = row["found"] or {"in_the_map": "", "loss_when_imposed": None}
    loss = found["loss_when_imposed"]
    loses = "" if loss is None else f"{loss:.2f} +- {found['loss_error']:.2f}"
    return (
        start + f"| {row['exit']} | {row['imposed']} | {found['in_the_map']} | {loses} "
        f"| {row['median']:.2f} | {100 * row['beyond_10']:.1f} % "
        f"| {row['fsc_0.5_angstrom']:.2f} | {row['processor_seconds']:.0f} |"
    )


if __name__ == "__main__":
    main()
