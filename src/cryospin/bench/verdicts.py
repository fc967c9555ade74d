"""Can the verdict be believed? Runs that succeed, fail or cannot succeed, and what they say.

A verdict is about the map: it is right where its resolution is what is claimed (FSC 0.5 to the
truth no coarser than 1.15 times the half-maps' FSC 0.143). Of two molecules either may be found.
Noise, featureless particles and a wrong pixel size are never right: there is nothing to be
found, or it is not what is claimed. Poses are counted beside it: whether more than 1.3 times as
many lie beyond 10 degrees as a search in the true map leaves there (10 % are allowed anyway).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryospin.bench.ledger import Ledger, Row
from cryospin.bench.oracle import lost_in_true_map
from cryospin.bench.page import PAGES, Section, write_page
from cryospin.bench.plan import Tell
from cryospin.bench.processes import run_command
from cryospin.bench.runs import CONVERGED, UNCONVERGED
from cryospin.bench.tables import Table
from cryospin.bench.verdict_cases import SHIFT_PIXEL, Case, Truth, cases, made
from cryospin.errors import UsageError
from cryospin.evaluate.run import evaluate_run
from cryospin.io.outputs import Outputs, claimed
from cryospin.io.run_folder import NOT_CONVERGED
from cryospin.io.star import read_star

LEDGER = "results.jsonl"
_HONEST = 1.15
_ALLOWED_BEYOND_10 = 0.10
_OVER_ORACLE = 1.3
_UNRESOLVED = 1e6  # Angstrom; infinity is no JSON
WORDS = ("converged", "ambiguous", "failed")


def study(
    models: Path,
    out: Path,
    command: str,
    tell: Tell,
    kinds: tuple[str, ...] = (),
    jobs: int = 1,
    fresh: int = 0,
) -> tuple[Path, Path]:
    """Every case once; verdicts.md and verdicts.html say how often the verdict was right.

    Raises UsageError for an unknown kind, and what simulating does; a run that fails is a row.
    jobs: runs at once, one thread each.
    """
    known_kinds = list(dict.fromkeys(case.kind for case in cases()))
    for kind in kinds:
        if kind not in known_kinds:
            raise UsageError(f"no kind of data is called {kind!r}\n  fix: {', '.join(known_kinds)}")
    wanted = [case for case in cases(fresh) if not kinds or case.kind in kinds]
    outputs = Outputs(PAGES, (LEDGER,), tuple(_folder_of(case) for case in wanted))
    with claimed(out, outputs):
        rows = _rows(wanted, models, out, tell, jobs)
        return write_page(out, "Can the verdict be believed?", command, _sections(rows))


def _folder_of(case: Case) -> str:
    return case.key.replace(" ", "_")


def _rows(wanted: list[Case], models: Path, out: Path, tell: Tell, jobs: int) -> list[Row]:
    ledger = Ledger(out / LEDGER)

    def row_of(case: Case) -> Row:
        known = ledger.rows().get(case.key)
        if known is not None:
            return known
        row = _measured(case, models, out / _folder_of(case))
        ledger.append(row)
        tell(f"{case.key}: {row['verdict']}, {'right' if row['right'] else 'wrong'}")
        return row

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(row_of, wanted))


def _measured(case: Case, models: Path, folder: Path) -> Row:
    table, truths = made(case, models, folder)
    run = folder / "run"
    ended = run_command("reconstruct", table, "--out", run, "--seed", case.seed, "--threads", 1)
    row: Row = {"key": case.key, "kind": case.kind, "exit": ended.exit_code}
    row |= {
        "seconds": round(ended.seconds, 1),
        "verdict": "refused",
        "right": False,
        "poses": False,
    }
    if ended.exit_code not in (CONVERGED, UNCONVERGED):
        return row | {"complaint": ended.complaint}
    result = json.loads((run / "result.json").read_text())
    place = run if ended.exit_code == CONVERGED else run / NOT_CONVERGED
    found = [_against(place, truth) for truth in truths]
    names = ("verdict", "reasons", "warnings", "evidence", "resolution_angstrom")
    row |= {name: result[name] for name in names} | {"truth": found}
    honest = any(each["true_angstrom"] <= _HONEST * each["claimed_angstrom"] for each in found)
    poses = any(each["beyond_10"] <= each["beyond_10_allowed"] for each in found)
    return row | {"right": case.has_poses and honest, "poses": case.has_poses and poses}


def _against(place: Path, truth: Truth) -> dict[str, float]:
    """What a run is scored by. A map that agrees nowhere with the truth is coarser than any
    claim, half-maps that do not agree claim more than any map holds."""
    score = evaluate_run(place, truth.table, truth.map, truth.symmetry)
    beyond = score["rotation_error_degrees"]["percent_beyond_10"] / 100
    true = score["map"]["fsc_0.5_angstrom"]
    claimed = float(read_star(place / "fsc.star").blocks["general"].pairs["rlnFinalResolution"])
    allowed = _ALLOWED_BEYOND_10
    if beyond > allowed:
        lost = lost_in_true_map(truth.table, truth.map, truth.symmetry, SHIFT_PIXEL)
        allowed = max(allowed, _OVER_ORACLE * lost)
    return {
        "median_degrees": score["rotation_error_degrees"]["median"],
        "beyond_10": beyond,
        "beyond_10_allowed": allowed,
        "true_angstrom": _UNRESOLVED if true is None else true,
        "claimed_angstrom": 0.0 if math.isnan(claimed) else claimed,
    }


def _sections(rows: list[Row]) -> list[Section]:
    counts = Counter((row["kind"], row["verdict"], row["right"]) for row in rows)
    header = [
        "kind of data",
        *(f"{word}, {truth}" for word in WORDS for truth in ("right", "wrong")),
    ]
    kinds = list(dict.fromkeys(row["kind"] for row in rows))

    def line(title: str, among: list[str]) -> list[str]:
        cells = [
            sum(counts[kind, word, right] for kind in among)
            for word in WORDS
            for right in (True, False)
        ]
        refused = sum(counts[kind, "refused", False] for kind in among)
        return [title, *map(str, cells), str(refused)]

    table = Table(
        (*header, "refused"),
        tuple(tuple(line(kind, [kind])) for kind in kinds) + (tuple(line("all", kinds)),),
    )
    said = [row for row in rows if row["verdict"] == "converged"]
    false = sum(not row["right"] for row in said)
    lost = sum(row["right"] and not row["poses"] for row in said)
    missed = sum(row["right"] and row["verdict"] != "converged" for row in rows)
    words = (
        f"{len(rows)} runs. {len(said)} say converged: {false} of them falsely, and {lost} with a"
        " right map but more poses lost than allowed. Of the maps that are right"
        f" {missed} are not called converged."
    )
    return [Section("Verdicts against the truth", (words,), (table,))]
