"""The front door: from a particle table to a folder with a map, poses and a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from cryospin.run.finished import Run, ended_before, has_ended
from cryospin.run.job import Job, Options, particles_of_class
from cryospin.threads import configure_threads


def reconstruct(
    particles: Path | str,
    out: Path | str,
    *,
    recipe: str = "exhaustive",
    classes: int | str = 1,
    select_class: int | None = None,
    seed: int = 0,
    symmetry: str = "C1",
    particle_diameter_angstrom: float | None = None,
    max_resolution_angstrom: float | None = None,
    max_shift_angstrom: float | None = None,
    initial_map: Path | str | None = None,
    initial_lowpass_angstrom: float = 30.0,
    device: str = "auto",
    deterministic: bool = False,
    threads: int | None = None,
    batch_size: int = 500,
    invert_contrast: str = "auto",
    allow_bad: bool = False,
    resume: bool = False,
    checkpoint_seconds: float = 30.0,
    tensorboard: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
    listeners: tuple[Callable[[dict[str, Any]], None], ...] = (),
    tell: Callable[[str], None] | None = None,
) -> Run:
    """A map, a pose per particle and half-maps from images alone: `cryospin reconstruct`.

    Bad particles are set aside, checkpoints kept, and the folder `out` holds the same files
    afterwards. A run that does not converge is a `Run` too: look at its `converged`.

    Parameters
    ----------
    particles: RELION .star, cryoSPARC .cs or cryoDRGN .txt; with `select_class`, the folder of
        a run with classes.
    recipe: the method, by name (docs/recipes.md).
    classes: structures to tell apart (docs/mixtures.md), or "auto": as many as the images
        support; each gets a folder, `class_01` on.
    select_class: of that run, the class whose particles are taken.
    symmetry: point group to impose: C1, C3, D7, T, O, I ...; "auto": found in the map that
        comes out without one, imposed where images do not object, and refined with.
    particle_diameter_angstrom: default: found from the images.
    max_resolution_angstrom: finer detail is not used.
    max_shift_angstrom: largest offset in x and in y; default 5 % of the box.
    initial_map: a map to start from instead of from nothing, low-passed first.
    device: "cpu", "cuda", "cuda:N", or "auto": a card if there is one that can.
    deterministic: the same bits every time also on a card; on the CPU they always are.
    threads: of torch and numba, from now on; default: all cores available.
    batch_size: images held in work at once; memory, not the result.
    invert_contrast: "yes", "no", or "auto": turn the images' sign if images or map show
        protein dark.
    allow_bad: go on although more than a tenth of the images is bad.
    resume: go on with a run that was cut off, as if it never was.
    checkpoint_seconds: work that is lost when the process is killed, at most.
    tensorboard: also write scalars to `out`/tensorboard.
    progress: called with a step's name, what is done and what there is in all.
    listeners: each called with every line of log.jsonl as it is made (docs/outputs.md).
    tell: called with every note and warning, in a sentence: `print` will do.

    Raises
    ------
    UsageError: options that cannot be; `out` is an input's folder, holds files that are not
        cryospin's, is in use, or is of another run than the one to be resumed.
    BadDataError: the table, or too many images, cannot be used as they are.
    ResourceError: the disk does not take the files, or the card cannot be used.
    InterruptedRunError: SIGTERM came (in the main thread); `resume` goes on from there.
    NonFiniteLossError: a recipe that trains went wrong.
    """
    began = perf_counter()
    options = Options(
        recipe=recipe,
        classes=classes,
        seed=seed,
        symmetry=symmetry,
        particle_diameter_angstrom=particle_diameter_angstrom,
        max_resolution_angstrom=max_resolution_angstrom,
        max_shift_angstrom=max_shift_angstrom,
        initial_map=None if initial_map is None else Path(initial_map),
        initial_lowpass_angstrom=initial_lowpass_angstrom,
        device=device,
        deterministic=deterministic,
        threads=threads,
        batch_size=batch_size,
        invert_contrast=invert_contrast,
        allow_bad=allow_bad,
    )
    table = Path(particles)
    if select_class is not None:
        table = particles_of_class(table, select_class)
    job = Job(
        table,
        Path(out),
        options,
        resume=resume,
        checkpoint_seconds=checkpoint_seconds,
        tensorboard=tensorboard,
        progress=progress or (lambda step, done, total: None),
        listeners=listeners,
        tell=tell or (lambda sentence: None),
    )
    if resume and has_ended(job.out):
        from cryospin.io.lock import LOCK, sole_use

        with sole_use(job.out, job.out / LOCK):
            return ended_before(job.out, job.settings())
    configure_threads(threads)
    from cryospin.run.solve import solve

    return solve(job, began)
