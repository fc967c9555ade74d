"""`cryospin reconstruct`: from a particle stack to a map, poses, half-maps and a resolution."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from cryospin.cli.progress import progress_display
from cryospin.errors import NOT_CONVERGED_CODE

if TYPE_CHECKING:
    from cryospin.run.finished import Run


class Invert(StrEnum):
    auto = "auto"
    yes = "yes"
    no = "no"


def reconstruct(
    particles: Annotated[
        Path,
        Argument(help="RELION .star (3.0, 3.1 or later) or cryoSPARC .cs; or a run with classes."),
    ],
    out: Annotated[Path, Option(help="Folder to write into.")],
    recipe: Annotated[
        str, Option(help="Method: exhaustive, cryospin, ...; docs/recipes.md.")
    ] = "exhaustive",
    classes: Annotated[
        str, Option(help="Number of structures, each with its own folder; auto: find it.")
    ] = "1",
    junk: Annotated[
        bool, Option("--junk/--no-junk", help="With classes: images may belong to none of them.")
    ] = True,
    select_class: Annotated[
        int | None, Option(min=1, help="Continue with one class of a run with classes.")
    ] = None,
    seed: Annotated[int, Option(help="Same seed, same result.")] = 0,
    symmetry: Annotated[
        str, Option(help="Point group to impose: C1, C3, D7, T, O, I ...; auto: find it.")
    ] = "C1",
    particle_diameter: Annotated[
        float | None, Option(min=1.0, help="Angstrom; default: find it from the images.")
    ] = None,
    max_resolution: Annotated[
        float | None, Option(min=0.5, help="Angstrom; do not use finer detail.")
    ] = None,
    max_shift: Annotated[
        float | None, Option(min=0.0, help="Largest offset in x, y, Angstrom; default 5 % of box.")
    ] = None,
    initial_map: Annotated[
        Path | None, Option(help="Start from this map instead of random poses.")
    ] = None,
    initial_lowpass: Annotated[
        float, Option(min=1.0, help="Angstrom; low-pass the initial map to it.")
    ] = 30.0,
    device: Annotated[
        str, Option(help="auto, cpu, cuda or cuda:N; auto: a card if one can be used.")
    ] = "auto",
    deterministic: Annotated[
        bool,
        Option("--deterministic", help="Give the same bits every time on a card, too; slower."),
    ] = False,
    threads: Annotated[int | None, Option(help="Default: all cores available.")] = None,
    resume: Annotated[
        bool, Option("--resume", help="Continue a run that was stopped; the result is the same.")
    ] = False,
    invert_contrast: Annotated[
        Invert, Option(help="Invert the images; auto: if they or the map show protein dark.")
    ] = Invert.auto,
    allow_bad: Annotated[
        bool,
        Option("--allow-bad", help="Continue although more than a tenth of the images is bad."),
    ] = False,
    batch_size: Annotated[
        int, Option(min=1, help="Images processed at once; changes memory, not the result.")
    ] = 500,
    checkpoint_seconds: Annotated[
        float, Option(min=0.0, help="The most work that is lost when a run is killed.")
    ] = 30.0,
    tensorboard: Annotated[
        bool, Option("--tensorboard", help="Also write scalars to OUT/tensorboard.")
    ] = False,
) -> None:
    """Reconstruct a map and a pose per particle from images alone.

    Two half-sets are solved independently from random starts. If their maps do not agree, no
    map is claimed and the exit code is 4.
    """
    began = time.perf_counter()
    from cryospin.run.reconstruct import reconstruct as run_reconstruction

    with progress_display() as progress:
        run = run_reconstruction(
            particles,
            out,
            recipe=recipe,
            classes=int(classes) if classes.isdecimal() else classes,
            junk=junk,
            select_class=select_class,
            seed=seed,
            symmetry=symmetry,
            particle_diameter_angstrom=particle_diameter,
            max_resolution_angstrom=max_resolution,
            max_shift_angstrom=max_shift,
            initial_map=initial_map,
            initial_lowpass_angstrom=initial_lowpass,
            device=device,
            deterministic=deterministic,
            threads=threads,
            batch_size=batch_size,
            invert_contrast=invert_contrast.value,
            allow_bad=allow_bad,
            resume=resume,
            checkpoint_seconds=checkpoint_seconds,
            tensorboard=tensorboard,
            progress=progress,
            listeners=(progress.hear,),
            tell=print,
        )
    _say(run, time.perf_counter() - began)
    if not run.converged:
        raise typer.Exit(NOT_CONVERGED_CODE)


def _say(run: Run, seconds: float) -> None:
    """The verdict on the terminal."""
    if run.classes:
        for folder, sentence in run.classes:
            print(f"{folder}: {sentence}")
        print(f"{run.verdict}: {run.report} ({seconds:.1f} s)")
        return
    if run.result is None:
        print(f"{run.folder} holds a finished run: {run.verdict}")
        return
    verdict = run.result.verdict
    for warning in verdict.warnings:
        print(f"warning: {warning}")
    print(f"{verdict.label}: " + "; ".join(verdict.reasons))
    if verdict.converged:
        at = run.result.resolution.resolution_0143_angstrom
        how = "started from one map" if run.result.explore.from_a_map else "independent"
        print(f"resolution {at:.2f} Angstrom (FSC 0.143, half-sets {how})")
    print(f"{run.report} ({seconds:.1f} s)")
