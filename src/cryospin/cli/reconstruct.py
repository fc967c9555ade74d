"""`cryospin reconstruct`: from a particle stack to a map, poses, half-maps and a resolution."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from cryospin.cli.progress import progress_display
from cryospin.cli.threads import configure_threads
from cryospin.errors import NOT_CONVERGED_CODE


class Device(StrEnum):
    cpu = "cpu"
    cuda = "cuda"


class Invert(StrEnum):
    auto = "auto"
    yes = "yes"
    no = "no"


def reconstruct(
    particles: Annotated[Path, Argument(help="RELION .star (3.0, 3.1 or later) or cryoSPARC .cs.")],
    out: Annotated[Path, Option(help="Folder to write into.")],
    recipe: Annotated[
        str, Option(help="Method: exhaustive, cryospin, ...; docs/recipes.md.")
    ] = "exhaustive",
    seed: Annotated[int, Option(help="Same seed, same result.")] = 0,
    symmetry: Annotated[str, Option(help="Point group to impose: C1, C3, D7, T, O, I ...")] = "C1",
    particle_diameter: Annotated[
        float | None, Option(min=1.0, help="Angstrom; default: found from the images.")
    ] = None,
    max_resolution: Annotated[
        float | None, Option(min=0.5, help="Angstrom; finer detail is not used.")
    ] = None,
    max_shift: Annotated[
        float | None, Option(min=0.0, help="Largest offset in x, y, Angstrom; default 5 % of box.")
    ] = None,
    initial_map: Annotated[
        Path | None, Option(help="Start from this map instead of from nothing.")
    ] = None,
    initial_lowpass: Annotated[
        float, Option(min=1.0, help="Angstrom; the initial map is filtered to it.")
    ] = 30.0,
    device: Annotated[Device, Option(help="Where to compute.")] = Device.cpu,
    threads: Annotated[int | None, Option(help="Default: all cores available.")] = None,
    resume: Annotated[
        bool, Option("--resume", help="Go on with a run that was cut off, as if it never was.")
    ] = False,
    invert_contrast: Annotated[
        Invert, Option(help="Turn the images' sign; auto: if images or map show protein dark.")
    ] = Invert.auto,
    allow_bad: Annotated[
        bool, Option("--allow-bad", help="Go on although more than a tenth of the images is bad.")
    ] = False,
    batch_size: Annotated[
        int, Option(min=1, help="Images held in work at once; memory, not the result.")
    ] = 500,
    checkpoint_seconds: Annotated[
        float, Option(min=0.0, help="Work that is lost when a run is killed, at most.")
    ] = 30.0,
    tensorboard: Annotated[
        bool, Option("--tensorboard", help="Also write scalars to OUT/tensorboard.")
    ] = False,
) -> None:
    """Reconstruct a map and a pose per particle from images alone.

    Two half-sets are solved independently from random starts. Exit code 4 and no map: they
    did not come to agree.
    """
    began = time.perf_counter()
    settings: dict[str, Any] = {
        "particles": str(particles),
        "recipe": recipe,
        "seed": seed,
        "symmetry": symmetry,
        "particle_diameter_angstrom": particle_diameter,
        "max_resolution_angstrom": max_resolution,
        "max_shift_angstrom": max_shift,
        "initial_map": None if initial_map is None else str(initial_map),
        "initial_lowpass_angstrom": None if initial_map is None else initial_lowpass,
        "threads": threads,
        "batch_size": batch_size,
        "invert_contrast": invert_contrast.value,
        "allow_bad": allow_bad,
    }
    if resume and (out / "result.json").exists():
        from cryospin.io.lock import LOCK, sole_use

        with sole_use(out, out / LOCK):
            raise typer.Exit(_finished_before(out, settings))
    configure_threads(threads)
    from contextlib import ExitStack
    from dataclasses import asdict, replace

    from cryospin.errors import UsageError
    from cryospin.explore.snapshot import NonFiniteLossError
    from cryospin.io.formats import read_particles_of_any_kind
    from cryospin.io.mrc import read_map
    from cryospin.io.outputs import claimed
    from cryospin.io.run_folder import CHECKPOINTS, LOG
    from cryospin.journal.checkpoints import remove_checkpoints
    from cryospin.journal.identity import identity
    from cryospin.journal.journal import Journal
    from cryospin.journal.signals import Signals
    from cryospin.particles.audit import audit_table, unread_in_words
    from cryospin.particles.contrast import inverted
    from cryospin.particles.plan import output_bytes
    from cryospin.recipes import find_recipe
    from cryospin.reconstruct.monitor import Monitor
    from cryospin.reconstruct.outputs import RUN, clear_finished, write_result
    from cryospin.reconstruct.request import Request
    from cryospin.reconstruct.samples import SAMPLES, write_samples
    from cryospin.reconstruct.screening import screened
    from cryospin.reconstruct.tensorboard import tensorboard_listener
    from cryospin.report import write_report
    from cryospin.report.unfinished import read_lines
    from cryospin.rotations.symmetry import symmetry_group

    if device is Device.cuda:
        raise UsageError("this recipe computes on the CPU\n  fix: leave out --device cuda")
    method = find_recipe(recipe)
    symmetry_group(symmetry)  # complain before anything is touched
    request = Request(
        seed=seed,
        symmetry=symmetry,
        particle_diameter_angstrom=particle_diameter,
        max_resolution_angstrom=max_resolution,
        max_shift_angstrom=max_shift,
        initial_map=None if initial_map is None else read_map(initial_map, pad_to_cube=True),
        initial_lowpass_angstrom=initial_lowpass,
        batch_size=batch_size,
    )
    with Signals() as signals, progress_display() as progress, ExitStack() as exits:
        stack = read_particles_of_any_kind(particles)
        audit_table(stack)
        for note in unread_in_words(stack):
            print(f"note: {note}")
        inputs = (*stack.inputs, *(() if initial_map is None else (initial_map,)))
        exits.enter_context(claimed(out, RUN, inputs, output_bytes(len(stack), stack.box)))
        if resume and (out / "result.json").exists():
            # by a process that had the folder until now
            raise typer.Exit(_finished_before(out, settings))
        log = out / LOG
        earlier = read_lines(log) if resume and log.exists() else []
        curves = (tensorboard_listener(out / "tensorboard", earlier),) if tensorboard else ()
        monitor = Monitor(progress, log, (progress.hear, *curves))
        checkpoints = _checkpoints(out, identity(stack, settings), resume, monitor)
        journal = Journal(checkpoints, signals, every_seconds=checkpoint_seconds)
        clear_finished(out, keep_log=resume)
        monitor.begin(
            stack.box,
            stack.pixel_size_angstrom,
            particles=len(stack),
            settings=settings,
            resumed=resume,
            not_modelled=[asdict(each) for each in stack.not_modelled],
        )
        for each in stack.not_modelled:
            print(f"warning: {each}")
        monitor.seconds["start"] = time.perf_counter() - began
        with monitor.stage("audit"):
            stack, settings["screening"] = screened(
                stack,
                out,
                invert_contrast.value,
                allow_bad,
                lambda done, total: progress("check images", done, total),
            )
            monitor.log(event="screened", **settings["screening"])
            _say_screening(settings["screening"], out)
        request = replace(
            request,
            doubts=tuple(settings["screening"]["doubts"]),
            either_contrast=invert_contrast is Invert.auto,
        )
        try:
            result = method.run(stack, request, monitor, journal)
        except NonFiniteLossError:
            print(f"the last good checkpoint stays in {out / CHECKPOINTS}", file=sys.stderr)
            raise
        if result.turned:
            stack = inverted(stack)
            settings["screening"]["contrast_inverted"] ^= True
        with monitor.stage("write"):
            trusted = result.resolution.resolution_05_angstrom
            write_samples(out / SAMPLES, stack, result.map, result.poses, trusted)
            write_result(result, stack, out, monitor.seconds, settings)
            remove_checkpoints(out / CHECKPOINTS)
        page = write_report(out)
    _say(result, page, time.perf_counter() - began)
    if not result.verdict.converged:
        raise typer.Exit(NOT_CONVERGED_CODE)


def _finished_before(out: Path, settings: dict[str, Any]) -> int:
    """The exit code of the finished run in `out`, which is left as it is.

    Only what a kill after its end left undone is done. Raises UsageError where it is another run
    than `settings` ask for.
    """
    from cryospin.io.run_folder import CHECKPOINTS
    from cryospin.journal.settings import effective, refuse_difference
    from cryospin.report.inputs import read_result

    result = read_result(out)
    now, then = effective(settings), result.get("settings", {})
    refuse_difference(out, {name: then.get(name) for name in now}, now)
    if (out / CHECKPOINTS).exists():
        from cryospin.journal.checkpoints import remove_checkpoints

        remove_checkpoints(out / CHECKPOINTS)
    if not (out / "report.html").exists():
        from cryospin.report import write_report

        write_report(out)
    verdict = result.get("verdict", "no verdict")
    print(f"{out} holds a finished run: {verdict}")
    return 0 if verdict == "converged" else NOT_CONVERGED_CODE


def _checkpoints(  # type: ignore[no-untyped-def]
    out: Path, run: dict[str, Any], resume: bool, monitor
):
    """Those of the run to be resumed, or an empty folder."""
    from cryospin.io.run_folder import CHECKPOINTS
    from cryospin.journal.checkpoints import Checkpoints

    def warn(problem: str) -> None:
        monitor.log(event="checkpoint", problem=problem)
        print(f"warning: {problem}", file=sys.stderr)

    begin = Checkpoints.resumed if resume else Checkpoints.begun
    return begin(out / CHECKPOINTS, run, warn)


def _say_screening(told: dict[str, Any], out: Path) -> None:
    if told["rejected"]:
        print(f"{told['rejected']} bad particles set aside: {out / 'rejected.star'}")
    if told["contrast_inverted"]:
        print(f"the images' contrast is inverted (protein looks {told['protein_looks']})")


def _say(result, page: Path, seconds: float) -> None:  # type: ignore[no-untyped-def]
    """The verdict on the terminal."""
    for warning in result.verdict.warnings:
        print(f"warning: {warning}")
    print(f"{result.verdict.word}: " + "; ".join(result.verdict.reasons))
    if result.verdict.converged:
        at = result.resolution.resolution_0143_angstrom
        how = "started from one map" if result.explore.get("initial_map") else "independent"
        print(f"resolution {at:.2f} Angstrom (FSC 0.143, half-sets {how})")
    print(f"{page} ({seconds:.1f} s)")
