"""A campaign begun: the input looked at as a run would, its jobs written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryospin.campaign.plan import (
    ARRAY,
    CLAIMS,
    COMMON,
    JOBS,
    JOIN,
    LOGS,
    Campaign,
    plan_outputs,
    planned,
    read_campaign,
    write_campaign,
)
from cryospin.campaign.slurm import Slurm, array_script, join_script
from cryospin.errors import UsageError
from cryospin.io.atomic import atomic_path
from cryospin.io.formats import read_particles_of_any_kind
from cryospin.io.outputs import claimed
from cryospin.particles.audit import audit_table, unread_in_words
from cryospin.particles.plan import output_bytes
from cryospin.recipes import find_recipe
from cryospin.reconstruct.ready import imposed_from_the_start
from cryospin.run.job import classes_to_search, particles_of_class
from cryospin.run.solve import asked
from cryospin.types import ParticleStack

MOST_SEEDS = 1000


def launch(
    particles: Path | str,
    out: Path | str,
    *,
    seeds: int,
    classes: Sequence[int | str] = (1,),
    select_class: int | None = None,
    slurm: Slurm | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
    **options: Any,
) -> Campaign:
    """Write down the jobs of a campaign: seeds 1 to `seeds` for each number of classes.

    A campaign that is there, of the same particles and options, gets the jobs that it lacks.
    options: values of `plan.COMMON`.

    Raises
    ------
    UsageError: options that a run refuses; the folder holds an input, another campaign, or
        files of other programs.
    BadDataError: the table cannot be used as it is.
    ResourceError: the disk does not hold all of the results.
    """
    out, table = Path(out), Path(particles)
    if not 1 <= seeds <= MOST_SEEDS:
        raise UsageError(f"seeds must be 1 to {MOST_SEEDS}, not {seeds}")
    if select_class is not None:
        table = particles_of_class(table, select_class)
    wanted = Campaign(out, table, {name: options[name] for name in COMMON}, planned(seeds, classes))
    stack = _checked(wanted, tell)
    inputs = [*stack.inputs, *filter(None, [wanted.options["initial_map"]])]
    with claimed(out, plan_outputs(slurm is not None), inputs, _needed_bytes(wanted, stack)):
        campaign = _with_those_before(wanted, seeds, classes)
        for name in (CLAIMS, LOGS):
            (out / name).mkdir(exist_ok=True)
        if slurm is not None:
            for name, text in (
                (ARRAY, array_script(campaign, slurm)),
                (JOIN, join_script(campaign, slurm)),
            ):
                with atomic_path(out / name) as temporary:
                    temporary.write_text(text)
        write_campaign(campaign)
    return campaign


def _checked(campaign: Campaign, tell: Callable[[str], None]) -> ParticleStack:
    """The particles, where every run of the campaign can begin."""
    choices = [campaign.asked(run) for run in campaign.runs]
    find_recipe(choices[0].recipe)
    imposed_from_the_start(choices[0].symmetry)
    asked(choices[0])  # reads the initial map
    stack = read_particles_of_any_kind(campaign.particles)
    audit_table(stack)
    for note in unread_in_words(stack):
        tell(f"note: {note}")
    for options in choices:
        classes_to_search(options, len(stack))
    return stack


def _needed_bytes(campaign: Campaign, stack: ParticleStack) -> int:
    searched = [classes_to_search(campaign.asked(run), len(stack)) for run in campaign.runs]
    each = output_bytes(len(stack), stack.box)
    return sum((classes + 1) * each // 2 for classes in searched)


def _with_those_before(wanted: Campaign, seeds: int, classes: Sequence[int | str]) -> Campaign:
    """With the jobs of the campaign that is there, which keep their numbers."""
    if not (wanted.folder / JOBS).exists():
        return wanted
    there = read_campaign(wanted.folder)
    now, before = (
        {"particles": _place(each.particles)}
        | {name: _place(value) for name, value in each.options.items()}
        for each in (wanted, there)
    )
    for name, value in now.items():
        if value != before[name]:
            option = name if name == "particles" else option_of(name)
            raise UsageError(
                f"{wanted.folder} is a campaign with other {option}: {before[name]}, not {value}"
                "\n  fix: give the same, or another --out"
            )
    return replace(there, runs=planned(seeds, classes, there.runs))


def option_of(name: str) -> str:
    """Of the command line."""
    return "--" + name.removesuffix("_angstrom").replace("_", "-")


def _place(value: Any) -> Any:
    """One spelling for one file."""
    return value.resolve() if isinstance(value, Path) else value
