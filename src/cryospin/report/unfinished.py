"""What is known of a run that has no result yet, from its log alone.

Whether it was stopped or is still at work, a folder cannot tell.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryospin.report.words import seconds_in_words

INTERRUPTED = "interrupted"


def result_from_log(path: Path) -> dict[str, Any]:
    """The fields of result.json that a log (docs/outputs.md) tells, with the verdict
    "interrupted"; empty without a readable line.
    """
    lines = read_lines(path)
    if not lines:
        return {}
    told: dict[str, Any] = {"settings": {}, "explore": {}, "refine": []}
    for line in lines:
        collect(line, told)
    last = lines[-1]
    return as_result(told, lines) | {
        "verdict": INTERRUPTED,
        "reasons": [
            f"It was last heard of in the stage “{last.get('stage', 'start')}”, "
            f"{seconds_in_words(float(last.get('seconds', 0.0)))} after it had begun "
            f"({str(last.get('time', ''))[:16].replace('T', ' ')} UTC)."
        ],
    }


def as_result(collected: dict[str, Any], lines: list[dict[str, Any]]) -> dict[str, Any]:
    """What `collect` has found in the lines, with times."""
    return collected | {
        "seconds": seconds_per_stage(lines),
        "date": lines[0].get("time", "") if lines else "",
        "stage": lines[-1].get("stage", "start") if lines else "start",
    }


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The log's objects; what a kill has cut off, or a disk has spoilt, is passed over."""
    found = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            found.append(line)
    return found


def command_in(log: Path) -> str | None:
    """The command that asks for the run again; None where the log does not tell."""
    if not log.is_file():
        return None
    told = [line.get("command") for line in read_lines(log) if line.get("event") == "run"]
    return str(told[-1]) if told and told[-1] else None


def collect(line: dict[str, Any], told: dict[str, Any]) -> None:
    """Add what one event tells."""
    event = line.get("event")
    if "resolution_angstrom" in line:
        told["agreement_angstrom"] = line["resolution_angstrom"]
    if event == "run":
        told |= {name: line[name] for name in ("box", "pixel_size_angstrom", "particles")}
        told["settings"] = dict(line.get("settings", {}))
        told["not_modelled"] = line.get("not_modelled", [])
        told["symmetry"] = told["settings"].get("symmetry", "C1")
    elif event == "screened":
        fields = ("rejected", "rejected_by_reason", "protein_looks", "contrast_inverted")
        told["settings"]["screening"] = {name: line[name] for name in fields if name in line}
    elif event == "particle size":
        names = ("diameter_angstrom", "mask_diameter_angstrom", "given")
        told["particle"] = {name: line[name] for name in names}
    elif event == "explored":
        starts = told["explore"].setdefault(f"half{line['half']}", [])
        starts += [{"score": score} for score in line["scores"]]
    elif event == "round" and "limit" in line:
        told["refine"].append(line)


def seconds_per_stage(lines: list[dict[str, Any]]) -> dict[str, float]:
    """Of finished stages what they took, of open ones what had passed when the log fell silent.

    A resumed run counts from zero again.
    """
    spent: dict[str, float] = {}
    began: dict[str, float] = {}
    now = 0.0

    def add(stage: str, seconds: float) -> None:
        spent[stage] = spent.get(stage, 0.0) + seconds

    def close() -> None:
        for stage, since in began.items():
            add(stage, now - since)
        began.clear()

    for line in lines:
        if line.get("event") == "run":
            close()
        now, stage = float(line.get("seconds", now)), str(line.get("stage", "start"))
        if line.get("event") == "begin":
            began[stage] = now
        elif line.get("event") == "stage":
            began.pop(stage, None)
            add(stage, line["took"])
    close()
    return spent
