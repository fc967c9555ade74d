"""`cryospin variability`: how the particles of a run differ, along a few components."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from cryospin.cli.progress import progress_display


def variability(
    directory: Annotated[Path, Argument(help="Folder that `cryospin reconstruct` wrote.")],
    components: Annotated[int, Option(min=1, help="How many components to look for.")] = 3,
    out: Annotated[
        Path | None, Option(help="Folder to write into; default DIRECTORY/variability.")
    ] = None,
    resolution: Annotated[
        float | None,
        Option(min=0.5, help="Angstrom; finer detail is not used; default twice the run's."),
    ] = None,
    mask: Annotated[
        Path | None, Option(help="Where components may be (.mrc); default the run's mask.mrc.")
    ] = None,
    iterations: Annotated[int, Option(min=1, help="Of expectation maximisation.")] = 20,
    seed: Annotated[int, Option(help="Same seed, same result.")] = 0,
    threads: Annotated[int | None, Option(help="Default: all cores available.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print variability.json.")] = False,
) -> None:
    """Continuous variability of a converged run: components, and each particle's coordinates.

    Poses stay as they are. Each half-set's components are found alone; only those that both
    have in common are to be believed.
    """
    from cryospin.variability.front import variability as find_variability

    with progress_display() as progress:
        written = find_variability(
            directory,
            out,
            components=components,
            resolution_angstrom=resolution,
            mask=mask,
            iterations=iterations,
            seed=seed,
            threads=threads,
            progress=progress,
        )
    if as_json:
        print(json.dumps(written.summary, indent=2))
    else:
        print_components(written.summary)
        print(written.report)


def print_components(told: dict[str, Any]) -> None:
    """A row per component, then what may be made of them."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(
        "component", "correlation of halves", "variance (of the mean map's power)", "like the mean"
    )
    for number, each in enumerate(told["components"], 1):
        table.add_row(
            str(number),
            f"{each['correlation_of_halves']:.2f}",
            f"{100 * each['variance']:.2g} %",
            f"{each['like_the_mean']:.2f}",
        )
    console.print(table)
    for sentence in told["words"]:
        console.print(sentence, soft_wrap=True)
