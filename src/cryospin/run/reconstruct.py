"""The front door: from a particle table to a folder with a map, poses and a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from cryospin.run.finished import Run, ended_before, has_ended
from cryospin.run.job import Job, Options, particles_of_class
from cryospin.threads import configure_threads
from cryospin.torchrun import ranks_asked_for


def reconstruct(
    particles: Path | str,
    out: Path | str,
    *,
    recipe: str = "exhaustive",
    classes: int | str = 1,
    junk: bool = True,
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
    memory_gb: float | None = None,
    scratch: str | Path | None = None,
    invert_contrast: str = "auto",
    allow_bad: bool = False,
    resume: bool = False,
    checkpoint_seconds: float = 30.0,
    tensorboard: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
    listeners: tuple[Callable[[dict[str, Any]], None], ...] = (),
    tell: Callable[[str], None] | None = None,
) -> Run:
    """Reconstruct a map and a pose per particle from images alone: `cryospin reconstruct`.

    Exclude bad particles, keep checkpoints, and write the same files to `out` as the command.
    A run that does not converge returns a `Run` too: check its `converged`.

    Parameters
    ----------
    particles : path
        RELION .star, cryoSPARC .cs or cryoDRGN .txt; with `select_class`, the folder of a run
        with classes.
    out : path
        The run's folder. It is made if it is not there.
    recipe : str
        The method, by name (docs/recipes.md).
    classes : int or str
        Number of structures to tell apart (docs/mixtures.md), or "auto": as many as the images
        support. Each gets a folder, from `class_01` on. Recipes exhaustive and cryospin.
    junk : bool
        With classes, images may belong to none of them.
    select_class : int, optional
        Take only the particles of this class of that run.
    seed : int
        Of every random number of the run.
    symmetry : str
        Point group to impose: C1, C3, D7, T, O, I ... With "auto", find the group in the map
        made without symmetry, impose it if the images do not object, and refine with it.
    particle_diameter_angstrom : float, optional
        By default it is found from the images.
    max_resolution_angstrom : float, optional
        Do not use finer detail.
    max_shift_angstrom : float, optional
        Largest offset in x and in y; by default 5 % of the box.
    initial_map : path, optional
        Start from this map, low-passed, and not from random poses.
    initial_lowpass_angstrom : float
        Resolution of that low-pass.
    device : str
        "cpu", "cuda", "cuda:N", or "auto": a graphics card if there is one that can compute.
    deterministic : bool
        Give the same bits every time on a card, too. The CPU always does.
    threads : int, optional
        Of torch and numba, from now on; by default all available cores.
    batch_size : int
        Images processed at once. It changes memory, not the result.
    memory_gb : float, optional
        GB to stay within; by default 60 % of what the machine has and a scheduler or container
        grants. Images that do not fit are kept in a file, with 16 bits.
    scratch : path, optional
        An existing folder for that file; by default it is in `out`. It is removed at the end.
    invert_contrast : str
        "yes", "no", or "auto": invert the images if they or the map show protein dark.
    allow_bad : bool
        Continue although more than a tenth of the images is bad.
    resume : bool
        Continue a run that was stopped. The result has the same bits as without the stop.
    checkpoint_seconds : float
        The most work that is lost when the process is killed.
    tensorboard : bool
        Also write scalars to the folder tensorboard in `out`.
    progress : callable, optional
        Called with the name of a step, the number of items done, and their total number.
    listeners : tuple of callable
        Each is called with every line of log.jsonl (docs/outputs.md).
    tell : callable, optional
        Called with every note and warning, a sentence each, for example `print`.

    Returns
    -------
    Run
        The folder, the verdict, and the result in memory.

    Raises
    ------
    UsageError
        Options are invalid; or `out` holds an input or files of other programs, is in use, or
        belongs to another run than the one to resume.
    BadDataError
        The table, or too many images, cannot be used as they are.
    ResourceError
        The disk cannot take the files, or the card cannot be used.
    InterruptedRunError
        SIGTERM arrived (in the main thread); continue with `resume`.
    NonFiniteLossError
        The loss of a recipe with learning rates became NaN or infinite.
    """
    began = perf_counter()
    options = Options(
        recipe=recipe,
        classes=classes,
        junk=junk,
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
        memory_gb=memory_gb,
        scratch=None if scratch is None else Path(scratch),
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
    if resume and has_ended(job.out) and ranks_asked_for() == 1:
        from cryospin.io.lock import LOCK, sole_use

        with sole_use(job.out, job.out / LOCK):
            return ended_before(job.out, job.settings())
    configure_threads(threads)
    from cryospin.run.solve import solve

    return solve(job, began)
