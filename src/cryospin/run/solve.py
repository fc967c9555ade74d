"""A job done: what is read, looked at, solved and written, in this order."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from cryospin import recipes, report
from cryospin.devices import find_device
from cryospin.explore.snapshot import NonFiniteLossError
from cryospin.io.formats import read_particles_of_any_kind
from cryospin.io.mrc import read_map
from cryospin.io.outputs import claimed
from cryospin.io.run_folder import CHECKPOINTS, LOG, PAGE
from cryospin.journal.checkpoints import Checkpoints, remove_checkpoints, run_before
from cryospin.journal.identity import identity
from cryospin.journal.journal import Journal
from cryospin.journal.ranks import compute_on, leads, led, number, ranks
from cryospin.journal.signals import Signals
from cryospin.kernels.compiled import compile_once, load_meanwhile
from cryospin.kernels.dispatch import same_bits
from cryospin.mixture.class_search import ClassSearch
from cryospin.mixture.outputs import clear_classes, mixture_outputs, verdict_of, write_mixture
from cryospin.mixture.refinement import ClassedRefinement
from cryospin.mixture.solve import Mixture
from cryospin.particles.audit import audit_table, unread_in_words
from cryospin.particles.contrast import inverted
from cryospin.particles.plan import memory_plan, output_bytes
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.outputs import RUN, clear_finished, write_result
from cryospin.reconstruct.ready import imposed_from_the_start
from cryospin.reconstruct.request import Request, Scratch
from cryospin.reconstruct.samples import SAMPLES, write_samples
from cryospin.reconstruct.screening import REJECTED, screened
from cryospin.reconstruct.tensorboard import tensorboard_listener
from cryospin.report.live import LivePage
from cryospin.report.unfinished import read_lines
from cryospin.run.command import command_of
from cryospin.run.finished import Run, ended_before, has_ended
from cryospin.run.job import AUTO_CLASSES, Job, Options, classes_to_search
from cryospin.run.memory import memory_in_use
from cryospin.run.resources import Resources, kept_radius, resources_for, scratch_folder
from cryospin.torchrun import ranks_asked_for
from cryospin.types import ParticleStack

PLACE, FILE = "place of the images", "file"


def solve(job: Job, began: float) -> Run:
    """The run, with its folder written. began: when it was asked for (`time.perf_counter`).

    Raises
    ------
    As `cryospin.run.reconstruct`.
    """
    method = recipes.find_recipe(job.options.recipe)
    imposed_from_the_start(job.options.symmetry)  # complain before anything is touched
    find_device(job.options.device)
    request = asked(job.options)
    with ranks(), Signals() as signals, ExitStack() as exits:
        if not leads():
            job = job.silent()
        stack = read_particles_of_any_kind(job.particles)
        audit_table(stack)
        for note in unread_in_words(stack):
            job.tell(f"note: {note}")
        if verdict := led(partial(claim, job, stack, exits)):
            return Run(job.out, verdict, job.out / PAGE, None)
        resources = resources_for(job.options, stack)
        resources = replace(resources, from_file=led(partial(from_file, job, resources)))
        for note in resources.notes:
            job.tell(f"note: {note}")
        compute_on(resources.device)
        if resources.device.type == "cpu":
            led(compile_once)
        if job.options.deterministic:
            exits.enter_context(same_bits(resources.device))
        if resources.device.type != "cpu":
            load_meanwhile(resources.device)
        request = replace(request, device=str(resources.device))
        page = LivePage(job.out, memory_in_use, earlier_events(job))
        monitor = monitor_of(job, page) if leads() else Monitor()
        # in a file they have 16 bits: the result's last digits differ
        place = {PLACE: FILE if resources.from_file else "memory"}
        sought = identity(stack, job.settings()) | place
        if resources.from_file:
            request = replace(request, scratch=scratch_of(job, sought, stack))
        checkpoints = checkpoints_of(job, sought, monitor)
        journal = Journal(
            checkpoints, signals, every_seconds=job.checkpoint_seconds, device=request.device
        )
        if not leads():
            return solve_claimed(job, method, request, stack, monitor, journal)
        clear_finished(job.out, keep_log=job.resume)
        clear_classes(job.out)
        exits.enter_context(page)
        monitor.begin(
            stack.box,
            stack.pixel_size_angstrom,
            particles=len(stack),
            settings=job.settings(),
            command=command_of(job.settings(), job.out),
            device=resources.notes[0],
            resumed=job.resume,
            not_modelled=[asdict(each) for each in stack.not_modelled],
        )
        for each in stack.not_modelled:
            job.tell(f"warning: {each}")
        monitor.seconds["start"] = perf_counter() - began
        run = solve_claimed(job, method, request, stack, monitor, journal)
        page.end()
        monitor.log(event="page", written=page.pages, took=round(page.seconds, 3))
        report.write_report(job.out)
        return run


def claim(job: Job, stack: ParticleStack, exits: ExitStack) -> str | None:
    """The folder is ours; the verdict of a process that had it until now, and ended."""
    initial_map = job.options.initial_map
    inputs = (*stack.inputs, *(() if initial_map is None else (initial_map,)))
    classes = classes_to_search(job.options, len(stack))
    outputs = mixture_outputs(classes) if job.options.classes != 1 else RUN
    needed = (classes + 1) * output_bytes(len(stack), stack.box) // 2
    exits.enter_context(claimed(job.out, outputs, inputs, needed))
    if job.resume and has_ended(job.out):
        return ended_before(job.out, job.settings()).verdict
    return None


def solve_claimed(
    job: Job,
    method: AbInitio,
    request: Request,
    stack: ParticleStack,
    monitor: Monitor,
    journal: Journal,
) -> Run:
    """The run of a stack that has been read, in a folder that is ours."""
    out = job.out
    if leads():
        report.import_meanwhile()
    with monitor.stage("audit"):
        kept, screening = led(lambda: screened_and_told(job, stack, monitor))
        stack = stack if len(kept) == len(stack) else stack.select(kept)
        stack = inverted(stack) if screening["contrast_inverted"] else stack
    request = replace(request, doubts=tuple(screening["doubts"]))
    settings = job.settings() | {"screening": screening, "computed_on": request.device}
    settings["ranks"] = ranks_asked_for()
    if job.options.classes != 1:
        return solve_mixture(job, method, request, stack, monitor, journal, settings)
    try:
        result = method.run(stack, request, monitor, journal)
    except NonFiniteLossError as error:
        error.add_note(f"the last good checkpoint stays in {out / CHECKPOINTS}")
        raise
    if result.contrast_inverted:
        stack = inverted(stack)
        turned_back = not screening["contrast_inverted"]
        settings["screening"] = screening | {"contrast_inverted": turned_back}
    if not leads():
        return Run(out, result.verdict.label, out / PAGE, result)
    with monitor.stage("write"):
        trusted = result.resolution.resolution_05_angstrom
        write_samples(out / SAMPLES, stack, result.map, result.poses, trusted)
        write_result(result, stack, out, monitor.seconds, settings)
        remove_checkpoints(out / CHECKPOINTS)
        if request.scratch is not None:
            remove_checkpoints(request.scratch.folder)
    return Run(out, result.verdict.label, out / PAGE, result)


def solve_mixture(
    job: Job,
    method: AbInitio,
    request: Request,
    stack: ParticleStack,
    monitor: Monitor,
    journal: Journal,
    settings: dict[str, Any],
) -> Run:
    """The run of a stack that shows several structures."""
    out, classes = job.out, classes_to_search(job.options, len(stack))
    mixture = Mixture(
        method,
        ClassSearch.suiting(method.starts.search),
        ClassedRefinement(junk=job.options.junk),
    )
    auto = job.options.classes == AUTO_CLASSES
    found = mixture.run(stack, classes, request, monitor, journal, auto)
    with monitor.stage("write"):
        folders = write_mixture(found, stack, out, monitor.seconds, settings)
        remove_checkpoints(out / CHECKPOINTS)
    for folder in folders:
        report.write_report(folder)
    verdict, reasons = verdict_of(found)
    sentences = tuple(zip(folders, reasons[-len(folders) :], strict=True))
    return Run(out, verdict, out / PAGE, None, sentences)


def asked(options: Options) -> Request:
    """What the recipe is asked for; the initial map is read."""
    initial = options.initial_map
    return Request(
        seed=options.seed,
        symmetry=options.symmetry,
        particle_diameter_angstrom=options.particle_diameter_angstrom,
        max_resolution_angstrom=options.max_resolution_angstrom,
        max_shift_angstrom=options.max_shift_angstrom,
        initial_map=None if initial is None else read_map(initial, pad_to_cube=True),
        initial_lowpass_angstrom=options.initial_lowpass_angstrom,
        batch_size=options.batch_size,
        either_contrast=options.invert_contrast == "auto",
    )


def from_file(job: Job, resources: Resources) -> bool:
    """Whether images are read from a file: a run that is continued goes on as it began, also on a
    machine with more memory, or less."""
    before = run_before(job.out / CHECKPOINTS) if job.resume else None
    return resources.from_file if before is None else before.get(PLACE) == FILE


def scratch_of(job: Job, run: dict[str, Any], stack: ParticleStack) -> Scratch:
    """Where the images of this very run are kept."""
    key = hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()
    radius = kept_radius(job.options, stack)
    needed = memory_plan(len(stack), stack.box, radius).file
    return Scratch(scratch_folder(job, key, needed), key)


def monitor_of(job: Job, page: LivePage) -> Monitor:
    """Who is told of the run's events: the log, the page, and the job's listeners."""
    listeners = (page.hear, *job.listeners)
    if job.tensorboard:
        earlier = earlier_events(job)
        listeners = (*listeners, tensorboard_listener(job.out / "tensorboard", earlier))

    def progress(label: str, done: int, total: int) -> None:
        page.progress(label, done, total)
        job.progress(label, done, total)

    return Monitor(progress, job.out / LOG, listeners, (page.see,))


def earlier_events(job: Job) -> list[dict[str, Any]]:
    """Of the run that is continued."""
    log = job.out / LOG
    return read_lines(log) if job.resume and log.exists() else []


def checkpoints_of(job: Job, run: dict[str, Any], monitor: Monitor) -> Checkpoints:
    """Those of the run to be resumed, or an empty folder; each rank has one of its own."""
    folder = job.out / CHECKPOINTS

    def warn(problem: str) -> None:
        monitor.log(event="checkpoint", problem=problem)
        job.tell(f"warning: {problem}")

    begin = Checkpoints.resumed if job.resume else Checkpoints.begun
    found: list[Checkpoints] = []
    led(lambda: found.append(begin(folder, run, warn)))
    return found[0] if found else Checkpoints.of_another_rank(folder, run, number(), warn)


def screened_and_told(
    job: Job, stack: ParticleStack, monitor: Monitor
) -> tuple[np.ndarray, dict[str, Any]]:
    """Which particles are sound, and what was decided; JSON."""
    sound, found = screened(
        stack,
        job.out,
        job.options.invert_contrast,
        job.options.allow_bad,
        lambda done, total: monitor.progress("check images", done, total),
    )
    monitor.log(event="screened", **found)
    if found["rejected"]:
        job.tell(f"{found['rejected']} bad particles set aside: {job.out / REJECTED}")
    if found["contrast_inverted"]:
        looks = found["protein_looks"]
        job.tell(f"the images' contrast is inverted (protein looks {looks})")
    found = json.loads(json.dumps(found))
    return np.flatnonzero(np.isin(stack.rows, sound.rows)), found
