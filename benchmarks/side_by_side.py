"""Other programs and cryospin on the same simulated images, scored alike against the truth.

    python benchmarks/side_by_side.py --models DIR --work side --structures 4zxb 3jb9 \
        --seeds 51 52 --particles 2000 --programs cryospin relion --limit-minutes 600
    python benchmarks/side_by_side.py --models DIR --work side --structures 4zxb --seeds 51 \
        --particles 150 --programs cryospin aspire cryodrgn \
        --aspire ENVIRONMENT/bin/aspire --cryodrgn ENVIRONMENT/bin/cryodrgn

programs.py says how each is called. Rotation errors are those of `cryospin evaluate`, after the
best global frame and hand; so is the FSC, after the best rotation, shift and hand of the truth and
in a mask made from it. "oracle" is what the images give when everything is known: poses refined
from the truth against the true map, and the map of the true poses. One JSON line per run goes to
WORK/side_by_side.jsonl, and the table of all runs in there to the terminal. They are not done again
unless they failed.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

from programs import Aspire, CryoDrgn, Cryospin, Line, Program, Relion

from cryospin.bench.datasets import Conditions, Dataset, simulated
from cryospin.bench.oracle import Oracle, oracle_of
from cryospin.bench.processes import Ended, run_program
from cryospin.bench.structures import Structure
from cryospin.errors import NOT_CONVERGED_CODE
from cryospin.evaluate.maps import map_summary
from cryospin.evaluate.poses import match_particles, pose_summary
from cryospin.io.formats import poses_of, read_particles_of_any_kind
from cryospin.io.mrc import read_map

Row = dict[str, Any]

COLUMNS = (
    "images", "SNR", "structure", "seed", "program", "processor s", "GB", "rotation, median deg",
    "mean", "beyond 10 deg", "FSC 0.5 to the truth, A",
)  # fmt: skip
ENDS = {0: "", None: " (stopped at the limit)", NOT_CONVERGED_CODE: " (not converged)"}
SCORES = ("median", "mean", "beyond_10", "fsc_0.5_angstrom")


def main() -> None:
    options = arguments()
    kept = options.work / "side_by_side.jsonl"
    conditions = Conditions(options.particles, options.box, options.snr, options.max_shift)
    for structure in map(Structure.parse, options.structures):
        for seed in options.seeds:
            work = options.work / conditions.label(structure, seed)
            dataset = simulated(structure, conditions, seed, options.models, work / "data")
            for name in options.programs:
                key = f"{dataset.label}/{name}"
                if any(row["key"] == key and stands(row) for row in rows_in(kept)):
                    continue
                row = {"key": key, **setting(dataset), "machine": options.machine}
                if name == "oracle":
                    row |= {"program": name, **known(oracle_of(dataset, work / name))}
                else:
                    program = chosen(name, options)
                    row |= one_run(program, dataset, work / name, options.limit_minutes)
                with open(kept, "a") as file:
                    file.write(json.dumps(row | {"date": date.today().isoformat()}) + "\n")
    print(table(rows_in(kept)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of PDB/mmCIF files")
    parser.add_argument("--structures", nargs="+", required=True, help="NAME or NAME:SYMMETRY")
    names = "oracle, relion, aspire, cryodrgn, cryospin or one of its recipes"
    parser.add_argument("--programs", nargs="+", default=["cryospin", "relion"], help=names)
    parser.add_argument("--aspire", type=Path, default=Path("aspire"), help="its program")
    parser.add_argument("--cryodrgn", type=Path, default=Path("cryodrgn"), help="its program")
    parser.add_argument("--epochs", type=int, default=30, help="of cryoDRGN")
    parser.add_argument("--limit-minutes", type=float, help="of each run")
    parser.add_argument("--seeds", nargs="+", type=int, default=[51])
    parser.add_argument("--particles", type=int, default=2000)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--max-shift", type=float, default=3.0, help="pixels")
    parser.add_argument("--machine", default="this machine", help="in words")
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    options.work = options.work.absolute()
    options.work.mkdir(parents=True, exist_ok=True)
    return options


def chosen(name: str, options: argparse.Namespace) -> Program:
    others: dict[str, Program] = {
        "relion": Relion(),
        "aspire": Aspire(options.aspire),
        "cryodrgn": CryoDrgn(options.cryodrgn, options.epochs),
        "cryospin": Cryospin(),
    }
    return others.get(name) or Cryospin(name)


def setting(dataset: Dataset) -> Row:
    conditions = dataset.conditions
    return {
        "structure": dataset.structure.name,
        "symmetry": dataset.structure.symmetry,
        "seed": dataset.seed,
        "particles": conditions.particles,
        "box": conditions.box,
        "snr": conditions.snr,
        "max_shift_pixel": conditions.max_shift_pixel,
        "pixel_size_angstrom": dataset.pixel_size_angstrom,
    }


def known(oracle: Oracle) -> Row:
    """The oracle's numbers, under the names of a run's."""
    scores = (oracle.median_degrees, oracle.mean_degrees, oracle.beyond_10)
    return dict(zip(SCORES, (*scores, oracle.map["fsc_0.5_angstrom"]), strict=True))


def one_run(program: Program, dataset: Dataset, out: Path, limit_minutes: float | None) -> Row:
    """Run and score. Never raises for a run that fails: it has no scores."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    ran = run_lines(program.lines(dataset, dataset.seed), program.accepted, out, limit_minutes)
    row = {
        "program": program.name,
        "version": version_of(program.version),
        "exit": ran.exit_code,
        "seconds": round(ran.seconds, 1),
        "processor_seconds": round(ran.processor_seconds, 1),
        "peak_gb": round(ran.peak_bytes / 1e9, 2),
        "complaint": ran.complaint if ran.exit_code != 0 else "",
    }
    if ran.exit_code not in program.accepted:
        return row
    return row | scored(dataset, *program.results(out))


def run_lines(
    lines: list[Line], accepted: tuple[int, ...], folder: Path, limit_minutes: float | None
) -> Ended:
    """All of them as one: the sum of their times, the largest memory, the exit code of the last
    that ran. The limit is each one's."""
    limit = None if limit_minutes is None else 60 * limit_minutes
    ends: list[Ended] = []
    for line in lines:
        ends.append(run_program(*line, folder=folder, limit_seconds=limit))
        if ends[-1].exit_code not in accepted:
            break
    return Ended(
        ends[-1].exit_code,
        sum(end.seconds for end in ends),
        sum(end.processor_seconds for end in ends),
        max(end.peak_bytes for end in ends),
        ends[-1].complaint,
    )


def version_of(line: Line) -> str | None:
    """The first thing like 3.1.3 that a command line prints."""
    told = subprocess.run([*map(str, line)], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+[\w.+]*", told.stdout + told.stderr)
    return found[0] if found else None


def scored(dataset: Dataset, found: Path, density: Path) -> Row:
    """Errors of a table's poses and of a map against the truth, all programs' likewise."""
    tables = map(read_particles_of_any_kind, (found, dataset.truth))
    estimated, true = match_particles(*tables)
    poses = pose_summary(
        poses_of(estimated),
        poses_of(true),
        dataset.pixel_size_angstrom,
        dataset.structure.symmetry,
    )
    of_map = map_summary(read_map(density), read_map(dataset.true_map))
    errors = poses["rotation_error_degrees"]
    return {
        "particles_with_poses": len(estimated),
        "median": errors["median"],
        "mean": errors["mean"],
        "beyond_10": errors["percent_beyond_10"] / 100,
        "shift_rms_pixel": poses["shift_error"]["rms_pixel_within_10_degrees"],
        "fsc_0.5_angstrom": of_map["fsc_0.5_angstrom"],
        "fsc": of_map["fsc"],
    }


def rows_in(path: Path) -> list[Row]:
    """The last row of each run."""
    lines = path.read_text().splitlines() if path.exists() else []
    return list({row["key"]: row for row in map(json.loads, lines)}.values())


def stands(row: Row) -> bool:
    """Whether a run ended as its program means to, or took as long as it may."""
    return row.get("exit", 0) in ENDS


def table(rows: list[Row]) -> str:
    """Markdown, a line for each run."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells(row: Row) -> tuple[str, ...]:
    return (
        f"{row['particles']:,} x {row['box']}",
        f"{row['snr']:g}",
        row["structure"],
        str(row["seed"]),
        in_words(row),
        number(row.get("processor_seconds"), ".0f"),
        number(row.get("peak_gb"), ".1f"),
        number(row.get("median"), ".2f"),
        number(row.get("mean"), ".2f"),
        number(row.get("beyond_10"), ".1%").replace("%", " %"),
        number(row.get("fsc_0.5_angstrom"), ".1f"),
    )


def in_words(row: Row) -> str:
    """The program, and how it ended if not well."""
    return f"{row['program']}{ENDS.get(row.get('exit', 0), ' (failed)')}"


def number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


if __name__ == "__main__":
    main()
