"""`cryospin bench`: methods side by side, on the same simulated images."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from typer import Argument, Option

from cryospin.cli.bench_pairs import pairs
from cryospin.threads import configure_threads

Number = TypeVar("Number", int, float)

bench = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Compare methods on the same simulated images, and measure their cost.",
)

bench.command("pairs")(pairs)


class Scale(StrEnum):
    small = "small"
    paper = "paper"


@bench.command("paper")
def paper(
    models: Annotated[
        Path, Option(help="Folder of PDB or mmCIF files; missing ones are downloaded.")
    ],
    out: Annotated[Path, Option(help="Folder to write into; continue a benchmark there.")],
    scale: Annotated[
        Scale,
        Option(
            help="small: 5,000 images of 64x64, for a CPU. paper: 50,000 of 128x128, meant for a "
            "GPU."
        ),
    ] = Scale.small,
    recipes: Annotated[str | None, Option(help="a,b,...; default: all.")] = None,
    structures: Annotated[
        str | None, Option(help="NAME[:SYMMETRY],...; default: the paper's three.")
    ] = None,
    seeds: Annotated[str, Option(help="1,2,...; of the images and of the methods.")] = "1",
    parts: Annotated[
        str | None, Option(help="Of table1,table2,speed,fig2,...,fig6; default: all.")
    ] = None,
    max_minutes: Annotated[
        float | None, Option(min=0.01, help="Limit for each recipe and structure.")
    ] = None,
    max_shift: Annotated[float, Option(min=0.0, help="Pixels; 0: centred, as in the paper.")] = 0.0,
    particles: Annotated[int | None, Option(min=100, help="Instead of the scale's.")] = None,
    box: Annotated[int | None, Option(min=16, help="Instead of the scale's.")] = None,
    snr: Annotated[float | None, Option(min=1e-6, help="Instead of the scale's.")] = None,
    epochs: Annotated[
        int | None, Option(min=1, help="Limit for each explorer that is watched.")
    ] = None,
    device: Annotated[
        str, Option(help="Where the methods compute: auto, cpu, cuda, cuda:N.")
    ] = "cpu",
    threads: Annotated[int | None, Option(help="Default: all cores available.")] = None,
) -> None:
    """The paper's tables and figures: errors, costs, FSC curves, error against time and epochs.

    Runs that finished are not run again: results.jsonl in the folder has them.
    """
    configure_threads(threads)
    from dataclasses import replace

    from cryospin.bench.datasets import SCALES
    from cryospin.bench.paper import compare
    from cryospin.bench.plan import PARTS, Plan
    from cryospin.bench.structures import PAPER_STRUCTURES, Structure
    from cryospin.recipes import RECIPES

    simulated = tuple(recipe for recipe in RECIPES if recipe != "cryospin-paper-real")
    conditions = SCALES[scale.value]
    conditions = replace(
        conditions,
        particles=particles or conditions.particles,
        box=box or conditions.box,
        snr=snr or conditions.snr,
        max_shift_pixel=max_shift,
    )
    plan = Plan(
        conditions,
        _listed(recipes) or simulated,
        tuple(Structure.parse(text) for text in _listed(structures) or PAPER_STRUCTURES),
        _numbers("--seeds", seeds, int),
        _listed(parts) or PARTS,
        max_minutes,
        epochs,
        device,
        threads,
    )
    if scale is Scale.paper and device == "cpu":
        _say("the paper's scale on a CPU takes days; it is meant for --device cuda")
    for path in compare(plan, models, out, _command(), _say):
        print(path)


@bench.command("epochs")
def epochs(
    particles: Annotated[Path, Argument(help="particles.star; all images are one set.")],
    out: Annotated[Path, Option(help="File to write (.npz): poses and seconds of each epoch.")],
    recipe: Annotated[str, Option(help="Recipe whose explorer to watch.")],
    seed: Annotated[int, Option(help="Same seed, same poses.")] = 0,
    epochs: Annotated[
        int | None, Option(min=1, help="Stop after this many; default: run to the end.")
    ] = None,
    max_minutes: Annotated[
        float | None, Option(min=0.0, help="Stop at the end of the epoch that passes it.")
    ] = None,
    max_shift: Annotated[float, Option(min=0.0, help="Pixels in x, y; 0: centred.")] = 0.0,
    threads: Annotated[int | None, Option(help="Default: all cores available.")] = None,
) -> None:
    """Watch a recipe's explorer epoch by epoch, without what comes after it.

    The file is whole after each epoch, so that the command may be stopped at any time.
    """
    configure_threads(threads)
    from cryospin.bench.watching import watch_stack

    watched = watch_stack(
        recipe,
        particles,
        out,
        shift_range_pixel=max_shift,
        seed=seed,
        most_epochs=epochs,
        limit_seconds=None if max_minutes is None else 60.0 * max_minutes,
    )
    print(f"{out}: {len(watched.epochs)} epochs, {watched.seconds[-1]:.1f} s")


@bench.command("switch")
def switch(
    models: Annotated[
        Path, Option(help="Folder of PDB or mmCIF files; missing ones are downloaded.")
    ],
    out: Annotated[Path, Option(help="Folder to write into; continue a benchmark there.")],
    structures: Annotated[
        str | None, Option(help="NAME[:SYMMETRY],...; default: the paper's three.")
    ] = None,
    snrs: Annotated[str, Option(help="Signal-to-noise ratios.")] = "0.1,0.05",
    steps: Annotated[
        str, Option(help="Fixed moments to switch at, in steps of the encoder.")
    ] = "600,1000,1400,1800,2200,2600,3000",
    particles: Annotated[int, Option(min=200, help="Of both half-sets.")] = 5000,
    box: Annotated[int, Option(min=16)] = 64,
    seed: Annotated[int, Option(help="Of the images and of the method.")] = 1,
    threads: Annotated[int | None, Option(help="Default: all cores available.")] = None,
) -> None:
    """The automatic switch of recipe cryospin against fixed ones, on one half-set each.

    Every moment branches off the same training, so that nothing else differs.
    """
    configure_threads(threads)
    from cryospin.bench.datasets import Conditions
    from cryospin.bench.structures import PAPER_STRUCTURES, Structure
    from cryospin.bench.switch import SwitchPlan, compare_switches

    plan = SwitchPlan(
        tuple(Structure.parse(text) for text in _listed(structures) or PAPER_STRUCTURES),
        tuple(Conditions(particles, box, snr) for snr in _numbers("--snrs", snrs, float)),
        _numbers("--steps", steps, int),
        seed,
    )
    print(compare_switches(plan, models, out, _command(), _say))


@bench.command("verdicts")
def verdicts(
    models: Annotated[
        Path, Option(help="Folder of PDB or mmCIF files; missing ones are downloaded.")
    ],
    out: Annotated[Path, Option(help="Folder to write into; continue a study there.")],
    kinds: Annotated[
        str | None, Option(help="Kinds of data: plain,noise,...; default: all.")
    ] = None,
    jobs: Annotated[int, Option(min=1, help="Runs at once, each on one thread.")] = 2,
    fresh: Annotated[int, Option(help="Added to all seeds: images not used for tuning.")] = 0,
) -> None:
    """How often the verdict is right, on data that can be solved and data that cannot."""
    configure_threads(1)
    from cryospin.bench.verdicts import study

    for path in study(models, out, _command(), _say, _listed(kinds), jobs, fresh):
        print(path)


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _numbers(option: str, text: str, kind: type[Number]) -> tuple[Number, ...]:
    """What stands between the commas of an option. Raises UsageError where there is no number."""
    from cryospin.errors import UsageError

    try:
        found = tuple(kind(part) for part in _listed(text))
    except ValueError:
        found = ()
    if not found:
        wanted = "whole numbers" if kind is int else "numbers"
        raise UsageError(f"{option} must be {wanted}, got {text!r}\n  fix: {option} 1,2")
    return found


def _command() -> str:
    """What was typed, to stand above the results."""
    import shlex

    return "cryospin " + shlex.join(sys.argv[1:])


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
