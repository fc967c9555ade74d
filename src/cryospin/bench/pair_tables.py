"""Tables of `cryospin bench pairs`: rows of pairs.jsonl as rows of words."""

from __future__ import annotations

import numpy as np

from cryospin.bench.ledger import Row
from cryospin.bench.pair_cases import decibel
from cryospin.bench.tables import NONE, Table, number, share


def planted_table(rows: list[Row]) -> Table:
    header = ("images", "seed", "mean error, degrees", "median", "seconds")
    return Table(
        header,
        tuple(
            (f"{r['images']}", f"{r['seed']}", number(r["mean"]), number(r["median"]),
             number(r["seconds"], 1))
            for r in rows
        ),
    )  # fmt: skip


def spread_table(rows: list[Row], title: str) -> Table:
    """A line for each method: over molecules and seeds."""
    header = (
        title,
        "SNR in particle (dB)",
        "SNR in box (dB)",
        "mean error, degrees: mean over runs ± deviation",
        "median error: median over runs",
        "lowest, highest",
        "success",
        "beyond 15 degrees",
        "seconds",
    )
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        means = np.array([row["mean"] for row in own])
        medians = np.array([row["median"] for row in own])
        box = float(np.median([row["snr_in_box"] for row in own]))
        lines.append(
            (
                method,
                _both(own[0]["snr_in_particle"]),
                _both(box),
                f"{means.mean():.1f} ± {means.std():.1f}",
                f"{np.median(medians):.1f}",
                f"{medians.min():.1f}, {medians.max():.1f}",
                f"{sum(row['success'] for row in own)} of {len(own)}",
                share(float(np.mean([row["beyond_15"] for row in own]))),
                number(float(np.median([row["seconds"] for row in own])), 1),
            )
        )
    return Table(header, tuple(lines))


def _both(snr: float) -> str:
    """As a ratio and in dB."""
    return "no noise" if not np.isfinite(snr) else f"{snr:.3g} ({decibel(snr):.1f})"


def consistency_table(rows: list[Row]) -> Table:
    """Of methods that tell: consistency of runs that succeeded and failed, and of images."""
    header = (
        "method",
        "median consistency where it succeeded",
        "where it failed",
        "a lost image is told from one that is not",
    )
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        if not any(row["consistency"] for row in own):
            continue
        medians = [
            [row["consistency"] for row in own if row["success"] == wanted]
            for wanted in (True, False)
        ]
        told = [row["told_lost"] for row in own if row["told_lost"] is not None]
        lines.append(
            (
                method,
                *(number(float(np.median(m))) if m else NONE for m in medians),
                share(float(np.mean(told))) if told else NONE,
            )
        )
    return Table(header, tuple(lines))


def starts_table(rows: list[Row]) -> Table:
    header = ("start", "as good as 3 degrees", "median error, degrees", "seconds to the start",
              "seconds to the final map")  # fmt: skip
    lines = []
    for name in dict.fromkeys(row["start"] for row in rows):
        own = [row for row in rows if row["start"] == name]
        medians, first, total = (
            float(np.median([row[field] for row in own]))
            for field in ("median", "seconds_to_start", "seconds")
        )
        good = sum(row["success"] for row in own)
        lines.append(
            (name, f"{good} of {len(own)}", number(medians), number(first, 0), number(total, 0))
        )
    return Table(header, tuple(lines))


def twin_table(rows: list[Row]) -> Table:
    header = ("molecule", "SNR in particle (dB)", "steps", "distance error, degrees",
              "orientation error modulo O(4): mean", "modulo rotation and hand: mean",
              "seconds of training")  # fmt: skip
    lines = [
        (
            row["structure"],
            _both(row["snr_in_particle"]),
            str(row["steps"]),
            number(row["distance_error"], 1),
            number(row["mean_modulo_distances"], 1),
            number(row["mean"], 1),
            number(row["seconds"], 0),
        )
        for row in rows
    ]
    return Table(header, tuple(lines))
