"""Several structures at once: simulate a mixture, search for its classes, score both halves of it.

    python benchmarks/mixtures.py --models DIR --cases states:4zxb dim:3jb9 --seeds 1 2 --work bench

Each case is simulated once for each seed, and `cryospin reconstruct --classes` is given that seed.
Beside its score stands what a search in the true maps reaches on 1,000 of the same images: all
poses of each searched for, then refined, in every true map, and the class the one that explains
the image best. One JSON line per run goes to WORK/mixtures.jsonl, and is not measured again, and a
Markdown row to the terminal.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cryospin.bench.ledger import Ledger, Row
from cryospin.bench.oracle import scaled_truth
from cryospin.bench.processes import Ended, run_command
from cryospin.bench.structures import model_file
from cryospin.errors import CryospinError
from cryospin.evaluate.run import evaluate_run
from cryospin.evaluate.symmetry_axis import align_about_any_axis
from cryospin.explore.setting import Setting
from cryospin.io.formats import poses_of
from cryospin.io.relion import read_particles
from cryospin.particles.prepare import prepare_particles
from cryospin.recipes import find_recipe
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.version import full_version

SHIFT, BOX, SEARCHED, RADIUS = 2.0, 64, 1000, 20.0


@dataclass(frozen=True)
class Case:
    """models: by name, the first of them with states. true: how many structures there are.
    classes: what `reconstruct` is asked for."""

    models: tuple[str, ...]
    pixel: float
    particles: int
    snr: float
    true: int
    classes: str
    removed: tuple[str, ...] = ()
    options: tuple[object, ...] = ()

    def simulation(self, models: Path, seed: int, out: Path) -> list[object]:
        """The command line after `cryospin`."""
        words: list[object] = ["simulate", *(model_file(name, models) for name in self.models)]
        for part in self.removed:
            words += ["--remove", part]
        words += ["--particles", self.particles, "--box", BOX, "--pixel-size", self.pixel]
        words += ["--snr", self.snr, "--max-shift", SHIFT, "--seed", seed, "--out", out]
        return words + list(self.options)


# without 11 and 14, 11 and 19, 11 and 21 % of the mass
STATES = {
    "4zxb": (4.0, ("C", "B,I,G,F,H")),
    "3jb9": (6.0, ("X", "A")),
    "1u6g": (5.0, ("C:1-230", "C:800-1230")),
}


def states(
    name: str,
    particles: int = 20_000,
    snr: float = 0.032,
    classes: str = "3",
    options: tuple[object, ...] = (),
) -> Case:
    pixel, removed = STATES[name]
    return Case((name,), pixel, particles, snr, 3, classes, removed, options)


def one(name: str, classes: str) -> Case:
    return Case((name,), STATES[name][0], 6_666, 0.032, 1, classes)


UNLIKE = ("4zxb", "1u6g", "2cg9")
EIGHT = ("4zxb", "1u6g", "2cg9", "3jb9", "5gjv", "3sn6", "1igy", "7DDO")

CASES = {
    f"{kind}:{name}": case
    for name in STATES
    for kind, case in {
        "states": states(name),
        "states-auto": states(name, classes="auto"),
        "dim": states(name, 40_000, 0.016),
        "cones": states(name, options=("--views", "cones")),
        "uneven": states(name, options=("--fractions", "0.6,0.3,0.1")),
        "one": one(name, "3"),
        "one-auto": one(name, "auto"),
    }.items()
} | {
    "unlike": Case(UNLIKE, 5.0, 12_500, 0.05, 3, "3", options=("--junk", 0.2)),
    "eight": Case(EIGHT, 6.0, 8_000, 0.1, 8, "8"),
}


def main() -> None:
    options = arguments()
    ledger = Ledger(options.work / "mixtures.jsonl")
    print("| case | seed | exit | found | accuracy (true maps) | rotation, deg (true maps) "
          "| junk found | processor s | |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.cases:
        for seed in options.seeds:
            key = f"{name}/{options.recipe}/{seed}"
            row = ledger.rows().get(key)
            if row is None:
                case, work = CASES[name], options.work / f"{name.replace(':', '_')}_{seed}"
                row = {"key": key, "case": name, "recipe": options.recipe, "seed": seed}
                row |= measured(case, options, seed, work)
                row |= {"machine": options.machine, "date": date.today().isoformat()}
                ledger.append(row)
            print(markdown(row), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of PDB/mmCIF files")
    parser.add_argument("--cases", nargs="+", choices=CASES, metavar="CASE", required=True,
                        help=", ".join(CASES))  # fmt: skip
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--recipe", default="exhaustive")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--machine", default="this machine", help="in words")
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    return options


def measured(case: Case, options: argparse.Namespace, seed: int, work: Path) -> Row:
    data, run = work / "data", work / options.recipe
    # the table is the last that `simulate` writes
    if not (data / "particles.star").exists():
        made = run_command(*case.simulation(options.models, seed, data))
        if made.exit_code != 0:
            raise CryospinError(made.complaint)
    oracle = in_true_maps(case, data)
    ended = run_command(
        "reconstruct", data / "particles.star", "--out", run, "--classes", case.classes,
        "--recipe", options.recipe, "--device", options.device, "--seed", seed,
    )  # fmt: skip
    return {
        "oracle": oracle,
        "exit": ended.exit_code,
        "seconds": round(ended.seconds, 1),
        "processor_seconds": round(ended.processor_seconds, 1),
        "peak_gb": round(ended.peak_bytes / 1e9, 2),
        "version": full_version(),
        **scored(case, ended, data, run),
    }


def in_true_maps(case: Case, data: Path) -> Row:
    """What a search in the true maps finds: `accuracy` and `median` degrees of each class."""
    truth = read_particles(data / "truth.star")
    particles, poses = prepare_particles(truth), poses_of(truth)
    rotations = poses.rotations.float()
    shifts = (poses.shifts_angstrom / truth.pixel_size_angstrom).float()
    true = torch.zeros(len(truth), dtype=torch.long)
    if truth.classes is not None:
        true = torch.as_tensor(truth.classes.number)
    shown = np.flatnonzero(true.numpy() >= 0)
    some = shown[:: max(1, len(shown) // SEARCHED)]
    sample = particles.select(some)
    assignment = find_recipe("exhaustive").starts.assignment
    losses, errors = [], []
    for number in range(case.true):
        own = torch.nonzero(true == number).flatten()
        name = "truth.mrc" if truth.classes is None else f"truth_class_{number + 1:02d}.mrc"
        volume = scaled_truth(
            data / name, rotations[own], shifts[own], particles.select(own.numpy())
        )
        setting = Setting(torch.eye(3)[None], SHIFT)
        found = assignment.run(volume, sample, RADIUS, setting)
        refined = GaussNewton(steps=8).refine(
            volume, sample.images(), found.rotations, found.shifts_pixel
        )
        losses.append(refined.loss)
        aligned = align_about_any_axis(refined.rotations, rotations[some], "C1")
        errors.append(aligned.errors_degrees)
    best = torch.stack(losses).argmin(dim=0)
    right = best == true[some]
    medians = [
        float(errors[number][right & (true[some] == number)].median())
        for number in range(case.true)
    ]
    return {"accuracy": float(right.double().mean()), "medians": medians}


def scored(case: Case, ended: Ended, data: Path, run: Path) -> Row:
    """Structures found, all of them converged or not, and their errors."""
    if ended.exit_code not in (0, 4):
        return {"found": 0, "complaint": ended.complaint}
    result = json.loads((run / "result.json").read_text())
    row: Row = {"verdict": result["verdict"]}
    if case.true == 1:
        return row | {"found": len(list(run.glob("class_[0-9][0-9]"))) or 1}
    classes = evaluate_run(run, data / "truth.star", data)["classes"]
    each = classes["each"]
    matched = {entry["true_class"]: entry for entry in each if entry["true_class"] is not None}
    good = [entry for entry in matched.values() if entry["verdict"] == "converged"]
    junk = classes["junk"]
    return row | {
        "found": len(good),
        "claimed": sum(entry["verdict"] == "converged" for entry in each),
        "classes": len(each),
        "accuracy": classes["accuracy"],
        "adjusted_rand_index": classes["adjusted_rand_index"],
        "medians": [median_of(matched.get(number + 1)) for number in range(case.true)],
        "junk_recall": None if junk is None else junk["recall"],
        "fsc_auc": classes["per_image_fsc_auc"],
        "confusion": classes["confusion"],
    }


def median_of(entry: dict[str, Any] | None) -> float | None:
    if entry is None or entry["poses"] is None:
        return None
    return float(entry["poses"]["rotation_error_degrees"]["median"])


def markdown(row: Row) -> str:
    start = f"| {row['case']} | {row['seed']} | {row['exit']} | {row['found']}"
    if "accuracy" not in row:
        return f"{start} | | | | {row['processor_seconds']:.0f} | {row.get('complaint', '')} |"
    junk = row["junk_recall"]
    return (
        f"{start} of {len(row['medians'])}, {row['claimed']} claimed "
        f"| {row['accuracy']:.3f} ({row['oracle']['accuracy']:.3f}) "
        f"| {degrees(row['medians'])} ({degrees(row['oracle']['medians'])}) "
        f"| {'' if junk is None else f'{100 * junk:.0f} %'} "
        f"| {row['processor_seconds']:.0f} | {row['verdict']} |"
    )


def degrees(values: list[float | None]) -> str:
    return ", ".join("none" if value is None else f"{value:.1f}" for value in values)


if __name__ == "__main__":
    main()
