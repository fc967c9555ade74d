"""`cryospin launch`: several runs of the same particles, written down as jobs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cryospin.cli.run_options import (
    AllowBad,
    Deterministic,
    InitialLowpass,
    InitialMap,
    Invert,
    InvertContrast,
    Junk,
    MaxResolution,
    MaxShift,
    ParticleDiameter,
    Recipe,
    SelectClass,
    Symmetry,
    classes_in,
)

if TYPE_CHECKING:
    from cryospin.campaign.plan import Campaign
    from cryospin.campaign.slurm import Slurm


def launch(
    particles: Annotated[
        Path,
        Argument(help="RELION .star (3.0, 3.1 or later) or cryoSPARC .cs; or a run with classes."),
    ],
    out: Annotated[Path, Option(help="Folder of the campaign, which all machines see.")],
    seeds: Annotated[int, Option(min=1, help="How many independent runs: seeds 1, 2, ...")] = 4,
    classes: Annotated[
        str, Option(help="Number of structures; with commas: runs for each, as 1,3.")
    ] = "1",
    slurm: Annotated[bool, Option("--slurm", help="Also write OUT/array.sh for sbatch.")] = False,
    partition: Annotated[str | None, Option(help="For --slurm: where to run.")] = None,
    time: Annotated[str | None, Option(help="For --slurm: limit of a task, as 04:00:00.")] = None,
    cpus: Annotated[int | None, Option(min=1, help="For --slurm: cores of a task.")] = None,
    gpus: Annotated[int | None, Option(min=1, help="For --slurm: cards of a task.")] = None,
    mem: Annotated[str | None, Option(help="For --slurm: memory of a task, as 16G.")] = None,
    recipe: Recipe = "exhaustive",
    junk: Junk = True,
    select_class: SelectClass = None,
    symmetry: Symmetry = "C1",
    particle_diameter: ParticleDiameter = None,
    max_resolution: MaxResolution = None,
    max_shift: MaxShift = None,
    initial_map: InitialMap = None,
    initial_lowpass: InitialLowpass = 30.0,
    deterministic: Deterministic = False,
    invert_contrast: InvertContrast = Invert.auto,
    allow_bad: AllowBad = False,
) -> None:
    """Write down several runs of the same particles as jobs that need not talk to each other.

    Nothing is computed yet: `cryospin work OUT` takes the jobs, on as many machines as see the
    folder, and `cryospin join OUT` compares the runs. Again with more seeds or classes, it adds
    jobs.
    """
    asked_of_slurm = _slurm(slurm, partition, time, cpus, gpus, mem)
    from cryospin.campaign.launch import launch as launch_campaign

    campaign = launch_campaign(
        particles,
        out,
        seeds=seeds,
        classes=[classes_in(word.strip()) for word in classes.split(",")],
        select_class=select_class,
        slurm=asked_of_slurm,
        tell=print,
        recipe=recipe,
        junk=junk,
        symmetry=symmetry,
        particle_diameter_angstrom=particle_diameter,
        max_resolution_angstrom=max_resolution,
        max_shift_angstrom=max_shift,
        initial_map=initial_map,
        initial_lowpass_angstrom=initial_lowpass,
        deterministic=deterministic,
        invert_contrast=invert_contrast.value,
        allow_bad=allow_bad,
    )
    _say(campaign, slurm)


def _slurm(
    wanted: bool,
    partition: str | None,
    time: str | None,
    cpus: int | None,
    gpus: int | None,
    mem: str | None,
) -> Slurm | None:
    from cryospin.campaign.slurm import Slurm
    from cryospin.errors import UsageError

    asked = Slurm(partition, time, cpus, gpus, mem)
    if not wanted and asked != Slurm():
        raise UsageError(
            "--partition, --time, --cpus, --gpus and --mem are for Slurm\n  fix: add --slurm"
        )
    return asked if wanted else None


def _say(campaign: Campaign, slurm: bool) -> None:
    """What was written, and the commands that come next."""
    folder = shlex.quote(str(campaign.folder))
    names = [run.name for run in campaign.runs]
    some = ", ".join(names if len(names) <= 6 else [*names[:3], "...", names[-1]])
    print(f"{campaign.folder}: {len(names)} jobs: {some}")
    if slurm:
        print("to submit them, and the join for when all have ended:")
        print(f"  jobs=$(sbatch --parsable {folder}/array.sh)")
        print(f'  sbatch --dependency=afterany:"$jobs" {folder}/join.sh')
        return
    print("to do them, on this machine and on any others that see the folder:")
    print(f"  cryospin work {folder}")
    print("to compare the runs that have ended, at any time:")
    print(f"  cryospin join {folder}")
