"""`cryospin fsc`: how far two maps agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option


def fsc(
    first: Annotated[Path, Argument(help="A map (.mrc).", metavar="A.mrc")],
    second: Annotated[
        Path, Argument(help="Another of the same box and voxel size.", metavar="B.mrc")
    ],
    mask: Annotated[
        Path | None, Option(help="Mask in the frame of B; its own effect is removed.")
    ] = None,
    align: Annotated[
        bool, Option("--align", help="First move A onto B: rotation, shift and hand.")
    ] = False,
    seed: Annotated[int, Option(help="Of the random phases that measure the mask.")] = 0,
    as_json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fourier shell correlation of two maps, and the resolutions at 0.5 and 0.143."""
    from cryospin.errors import UsageError
    from cryospin.io.mrc import read_map
    from cryospin.volumes.map_fsc import fsc as curves

    for path in (first, second, mask):
        if path is not None and not path.is_file():
            raise UsageError(f"no such file: {path}")
    one, two = read_map(first), read_map(second)
    of_mask = None if mask is None else read_map(mask)
    result = curves(one, two, of_mask, align=align, seed=seed)
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        print_curves(result)


def print_curves(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("shell", "Angstrom", *result["fsc"])
    for index, resolution in enumerate(result["shell_angstrom"]):
        values = (f"{curve[index]:.4f}" for curve in result["fsc"].values())
        table.add_row(str(index + 1), f"{resolution:.2f}", *values)
    console.print(table)
    if result["alignment"] is not None:
        hand = "mirrored and turned" if result["alignment"]["flipped"] else "turned"
        shift = ", ".join(f"{value:.2f}" for value in result["alignment"]["shift_angstrom"])
        console.print(f"A was {hand} onto B, then shifted by ({shift}) A")
    for name, crossings in result["resolution_angstrom"].items():
        parts = (
            f"{'none' if value is None else f'{value:.2f} A'} at {key.removeprefix('fsc_')}"
            for key, value in crossings.items()
        )
        console.print(f"{name}: " + ", ".join(parts))
