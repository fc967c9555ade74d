"""The runs of a campaign that have ended, compared; which one to trust, in joined.json and `best`.

Runs with different numbers of classes answer different questions: each number is a group of its
own, with its own best run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from cryospin.campaign.claims import LOST_AFTER_SECONDS
from cryospin.campaign.compare import SAME_WITHIN, Comparison, compare
from cryospin.campaign.ended import EndedRun, read_ended
from cryospin.campaign.judge import RULE, Candidate, judge, supporters
from cryospin.campaign.plan import BEST, CLAIMS, JOINED, Campaign, group_prefix, read_campaign
from cryospin.campaign.states import ENDED, State, state_of
from cryospin.io.atomic import atomic_path
from cryospin.io.outputs import Outputs, claimed
from cryospin.version import installed_version

Progress = Callable[[str, int, int], None]


def join(
    folder: Path | str,
    *,
    lost_after_seconds: float = LOST_AFTER_SECONDS,
    progress: Progress = lambda step, done, total: None,
) -> dict[str, Any]:
    """Compare the runs of the campaign in `folder` that have ended; others are told with their
    state. Writes joined.json and `best`, and returns what joined.json holds.

    Raises
    ------
    BadDataError: there is no campaign, or a run's files are damaged.
    UsageError: another process joins it, or a file of somebody else is in the way.
    ResourceError: the disk does not take the files.
    """
    campaign = read_campaign(Path(folder))
    (campaign.folder / CLAIMS).mkdir(exist_ok=True)
    groups = list(dict.fromkeys(run.classes for run in campaign.runs))
    outputs = Outputs(files=(JOINED,), growing=tuple(map(best_name, groups)))
    with claimed(campaign.folder, outputs):
        states = [state_of(campaign, run, lost_after_seconds) for run in campaign.runs]
        told: dict[str, Any] = {
            "program": "cryospin",
            "version": installed_version(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "rule": list(RULE),
            "same_within": SAME_WITHIN,
            "groups": [
                _group(campaign, [state for state in states if state.run.classes == each], progress)
                for each in groups
            ],
        }
        with atomic_path(campaign.folder / JOINED) as temporary:
            temporary.write_text(json.dumps(told, indent=1))
        for group in told["groups"]:
            name_best(campaign.folder / best_name(group["classes"]), group["best"])
    return told


def best_name(classes: int | str) -> str:
    """Of the link to the run to trust, of those with so many classes."""
    return f"{BEST}-{group_prefix(classes)}".removesuffix("-")


def name_best(link: Path, run: str | None) -> None:
    """Let `link` lead to a folder beside it, or hold its name where the disk knows no links."""
    if run is None:
        link.unlink(missing_ok=True)
        return
    temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    with suppress(FileNotFoundError):
        temporary.unlink()
    try:
        temporary.symlink_to(run)
    except OSError:
        with atomic_path(link, recorded=False) as file:
            file.write_text(f"{run}\n")
        return
    os.replace(temporary, link)


def _group(campaign: Campaign, states: Sequence[State], progress: Progress) -> dict[str, Any]:
    """What joined.json says of the runs with one number of classes."""
    ended = [read_ended(campaign, each.run) for each in states if each.state == ENDED]
    compared = _compared(ended, progress)
    agree = {each.names: each.agree for each in compared}
    found = supporters([each.name for each in ended], agree)
    judged = judge(
        [
            Candidate(
                each.name, each.run.seed, each.converged, each.resolution_angstrom, found[each.name]
            )
            for each in ended
        ]
    )
    by_name = {each.name: each for each in ended}
    runs = [_entry(each, by_name.get(each.run.name), judged.ranking, found) for each in states]
    return {
        "classes": states[0].run.classes,
        "verdict": judged.verdict,
        "reasons": list(judged.reasons),
        "best": judged.best,
        "runs": sorted(runs, key=lambda entry: entry["rank"] or len(runs) + entry["job"]),
        "compared": [each.summary() for each in compared],
    }


def _compared(ended: Sequence[EndedRun], progress: Progress) -> list[Comparison]:
    pairs, compared = list(combinations(ended, 2)), []
    for first, second in pairs:
        compared.append(compare(first, second))
        progress("compare runs", len(compared), len(pairs))
    return compared


def _entry(
    state: State,
    ended: EndedRun | None,
    ranking: Sequence[str],
    found: dict[str, frozenset[str]],
) -> dict[str, Any]:
    name = state.run.name
    entry: dict[str, Any] = {
        "job": state.run.number,
        "name": name,
        "seed": state.run.seed,
        "state": state.state,
        "told": state.told,
        "taken": 0 if state.claim is None else state.claim.number,
        "rank": ranking.index(name) + 1 if name in ranking else None,
        "verdict": None,
        "resolution_angstrom": None,
        "agrees_with": sorted(found.get(name, ())),
        "evidence": {},
    }
    if ended is None:
        return entry
    return entry | {
        "verdict": ended.verdict,
        "resolution_angstrom": ended.resolution_angstrom,
        "evidence": ended.evidence,
    }
