"""`cryospin reconstruct`: from a particle stack to a map, poses, half-maps and a resolution."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from cryospin.cli.progress import progress_display
from cryospin.cli.run_options import (
    AllowBad,
    BatchSize,
    CheckpointSeconds,
    Deterministic,
    Device,
    InitialLowpass,
    InitialMap,
    Invert,
    InvertContrast,
    Junk,
    MaxResolution,
    MaxShift,
    Memory,
    ParticleDiameter,
    Recipe,
    Scratch,
    SelectClass,
    Symmetry,
    Threads,
    classes_in,
)
from cryospin.errors import NOT_CONVERGED_CODE
from cryospin.torchrun import rank_asked_for

if TYPE_CHECKING:
    from cryospin.run.finished import Run


def reconstruct(
    particles: Annotated[
        Path,
        Argument(help="RELION .star (3.0, 3.1 or later) or cryoSPARC .cs; or a run with classes."),
    ],
    out: Annotated[Path, Option(help="Folder to write into.")],
    recipe: Recipe = "exhaustive",
    classes: Annotated[
        str,
        Option(
            help="Structures to tell apart (recipes exhaustive, cryospin); auto: find how many."
        ),
    ] = "1",
    junk: Junk = True,
    select_class: SelectClass = None,
    seed: Annotated[int, Option(help="Same seed, same result.")] = 0,
    symmetry: Symmetry = "C1",
    particle_diameter: ParticleDiameter = None,
    max_resolution: MaxResolution = None,
    max_shift: MaxShift = None,
    initial_map: InitialMap = None,
    initial_lowpass: InitialLowpass = 30.0,
    device: Device = "auto",
    deterministic: Deterministic = False,
    threads: Threads = None,
    resume: Annotated[
        bool, Option("--resume", help="Continue a run that was stopped; the result is the same.")
    ] = False,
    invert_contrast: InvertContrast = Invert.auto,
    allow_bad: AllowBad = False,
    batch_size: BatchSize = 500,
    memory: Memory = None,
    scratch: Scratch = None,
    checkpoint_seconds: CheckpointSeconds = 30.0,
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
            classes=classes_in(classes),
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
            memory_gb=memory,
            scratch=scratch,
            invert_contrast=invert_contrast.value,
            allow_bad=allow_bad,
            resume=resume,
            checkpoint_seconds=checkpoint_seconds,
            tensorboard=tensorboard,
            progress=progress,
            listeners=(progress.hear,),
            tell=print,
        )
    if rank_asked_for() == 0:
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
