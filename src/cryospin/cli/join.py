"""`cryospin join`: the runs of a campaign compared, and the one to trust."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from cryospin.cli.progress import progress_display
from cryospin.errors import NOT_CONVERGED_CODE


def join(
    campaign: Annotated[Path, Argument(help="Folder that `cryospin launch` wrote.")],
    lost_after: Annotated[
        float, Option(min=2.0, help="Minutes without a sign, when a worker is told as gone.")
    ] = 10.0,
    as_json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare the runs of a campaign that have ended, and name the one to trust, if there is one.

    At any time: jobs that have not ended are told with their state. The exit code is 4 where no
    run is to be trusted: none has converged, or those that have do not agree.
    """
    from cryospin.campaign.join import join as compare_runs

    with progress_display() as progress:
        joined = compare_runs(campaign, lost_after_seconds=60.0 * lost_after, progress=progress)
    if as_json:
        print(json.dumps(joined, indent=2))
    else:
        print_joined(campaign, joined)
    if any(group["best"] is None for group in joined["groups"]):
        raise typer.Exit(NOT_CONVERGED_CODE)


def print_joined(campaign: Path, joined: dict[str, Any]) -> None:
    """A table for each number of classes, and what to make of it."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for group in joined["groups"]:
        with_best = _with_best(group)
        table = Table("", "verdict", "resolution", "agrees with", "poses as in the best", "hand")
        table.columns[0].no_wrap = True
        for run in group["runs"]:
            pair = with_best.get(run["name"])
            table.add_row(
                run["name"],
                run["verdict"] or run["state"],
                _angstrom(run["resolution_angstrom"]),
                _names(run["agrees_with"]),
                "" if pair is None else f"{100 * pair['poses_within_10_degrees']:.0f} %",
                "" if pair is None else _hand(pair),
            )
        console.print(table)
        console.print(f"{group['verdict']}: " + "; ".join(group["reasons"]), highlight=False)
        left = [run for run in group["runs"] if run["state"] != "ended"]
        if left:
            console.print(
                f"{len(left)} of {len(group['runs'])} jobs have not ended", highlight=False
            )
        for run in left:
            if run["told"] != run["state"]:
                console.print(f"{run['name']}: {run['told']}", highlight=False, soft_wrap=True)
        told = "no run is to be trusted"
        if group["best"] is not None:
            told = f"best: {campaign / group['best']}"
        console.print(told, highlight=False, soft_wrap=True)


def _with_best(group: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Comparisons with the best run, by the other one's name."""
    best = group["best"]
    pairs = [pair for pair in group["compared"] if best in pair["runs"]]
    return {name: pair for pair in pairs for name in pair["runs"] if name != best}


def _names(names: list[str]) -> str:
    """The seeds of a few, and how many where they are more than a cell holds."""
    seeds = [name[name.index("seed-") :] for name in names]
    return ", ".join(seeds) if len(seeds) <= 3 else f"{len(seeds)} others"


def _hand(pair: dict[str, Any]) -> str:
    flipped = {each["alignment"]["flipped"] for each in pair["maps"]}
    return " and ".join("other" if each else "same" for each in sorted(flipped))


def _angstrom(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} A"
