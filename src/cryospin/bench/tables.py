"""Tables of a benchmark: rows of results.jsonl as rows of words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryospin.bench.ledger import Row
from cryospin.bench.oracle import Oracle
from cryospin.bench.speed import PoseCost, Speed
from cryospin.bench.structures import Structure
from cryospin.bench.watched import Watched

NONE = "–"


@dataclass(frozen=True)
class Table:
    """Words in a grid."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        lines = [self.header, ("---",) * len(self.header), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, digits: int = 2, unit: str = "") -> str:
    return NONE if value is None or not np.isfinite(value) else f"{value:.{digits}f}{unit}"


def share(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


def outcome(row: Row) -> str:
    """How the run ended, in words."""
    if row["over_minutes"] is not None:
        return f"over {row['over_minutes']:g} minutes"
    words = {0: "converged", 4: "not converged"}
    return words.get(row["exit"], f"failed, exit code {row['exit']}")


ERROR_HEADER = (
    "method",
    "structure",
    "seed",
    "ended",
    "rotation error, degrees: mean",
    "median",
    "beyond 10 degrees",
    "shift error, px rms",
    "FSC 0.5 to the truth, Å",
    "seconds",
    "seconds of processors",
    "peak GB",
    "as good as 1.3 x oracle",
)


def error_table(found: list[tuple[Structure, int, list[Row], Oracle]]) -> Table:
    """Table 1: a line for each run, and the oracle's after those of its data set."""
    lines = []
    for structure, seed, rows, oracle in found:
        lines += [_error_line(structure, row) for row in rows]
        lines.append(
            (
                "*oracle*",
                structure.name,
                str(seed),
                f"{share(oracle.lost_in_search)} lost by a search in the true map",
                number(oracle.mean_degrees),
                number(oracle.median_degrees),
                share(oracle.beyond_10),
                number(oracle.shift_rms_pixel),
                number(oracle.map["fsc_0.5_angstrom"]),
                *(NONE,) * 4,
            )
        )
    return Table(ERROR_HEADER, tuple(lines))


def _error_line(structure: Structure, row: Row) -> tuple[str, ...]:
    return (
        row["recipe"],
        structure.name,
        str(row["seed"]),
        outcome(row),
        number(row["mean"]),
        number(row["median"]),
        share(row["beyond_10"]),
        number(row["shift_rms_pixel"]),
        number(row["fsc_0.5_angstrom"]),
        number(row["seconds"], 0),
        # rows of older benchmarks lack it
        number(row.get("processor_seconds"), 0),
        number(row["peak_gb"]),
        "yes" if row["success"] else "no",
    )


COST_HEADER = (
    "method",
    "epochs watched",
    "seconds per 1,000 images and epoch",
    "parameters",
    "peak GB, explorer alone",
)


def cost_table(watched: dict[str, Watched | None]) -> Table:
    """Table 2: None for a recipe that has no epochs."""
    lines = []
    for recipe, told in watched.items():
        if told is None:
            lines.append((recipe, "has none", NONE, NONE, NONE))
            continue
        per_stage = epoch_seconds(told)
        thousands = len(told.uids) / 1000
        lines.append(
            (
                recipe,
                str(len(told.epochs)),
                "; ".join(f"{stage} {s / thousands:.3g}" for stage, s in per_stage.items()),
                "; ".join(f"{part} {count:,}" for part, count in (told.parameters or {}).items())
                or NONE,
                number(told.peak_bytes / 1e9) if told.peak_bytes else NONE,
            )
        )
    return Table(COST_HEADER, tuple(lines))


def epoch_seconds(watched: Watched) -> dict[str, float]:
    """Median seconds of an epoch of each stage. The first epoch, with compilation and start-up,
    counts only where it is alone in its stage."""
    spent = np.diff(watched.seconds, prepend=0.0)
    found: dict[str, float] = {}
    for stage in dict.fromkeys(watched.stages):
        of_stage = [
            seconds
            for index, (seconds, name) in enumerate(zip(spent, watched.stages, strict=True))
            if name == stage and index > 0
        ]
        found[stage] = float(np.median(of_stage)) if of_stage else float(spent[0])
    return found


def speed_table(speeds: list[Speed]) -> Table:
    header = ("seconds per 1,000 images", "as published or commonly written", "ours", "ratio")
    return Table(
        header,
        tuple(
            (speed.what, f"{speed.plain:.3g}", f"{speed.fast:.3g}", f"{speed.ratio:.1f}")
            for speed in speeds
        ),
    )


def pose_cost_table(costs: list[PoseCost]) -> Table:
    header = (
        "poses",
        "seconds an epoch, five updates of each pose",
        "microseconds per pose",
        "seconds with a dense optimiser (from 20 updates)",
    )
    return Table(
        header,
        tuple(
            (f"{c.poses:,}", f"{c.rows:.2f}", f"{1e6 * c.rows / c.poses:.1f}", f"{c.dense:.2f}")
            for c in costs
        ),
    )
