"""`cryospin fsc`: how far two maps agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

if TYPE_CHECKING:
    from cryospin.types import DensityMap


def fsc(
    first: Annotated[Path, Argument(help="A map (.mrc).", metavar="A.mrc")],
    second: Annotated[Path, Argument(help="Another, same box and voxels.", metavar="B.mrc")],
    mask: Annotated[
        Path | None, Option(help="Mask, in the frame of B; its own effect is taken out.")
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
    from cryospin.volumes.alignment import align_maps, apply_alignment, check_comparable

    for path in (first, second, mask):
        if path is not None and not path.is_file():
            raise UsageError(f"no such file: {path}")
    one, two = read_map(first), read_map(second)
    check_comparable(one, two)
    placed: dict[str, Any] | None = None
    if align:
        alignment = align_maps(one, two)
        one = apply_alignment(one, alignment)
        placed = {
            "rotation": alignment.rotation.tolist(),
            "shift_angstrom": alignment.shift_angstrom.tolist(),
            "flipped": alignment.flipped,
            "correlation": alignment.correlation,
        }
    result = curves(one, two, None if mask is None else read_map(mask), seed)
    result["alignment"] = placed
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        print_curves(result)


def curves(
    first: DensityMap, second: DensityMap, mask: DensityMap | None, seed: int
) -> dict[str, Any]:
    """FSC curves by name, their crossings in Angstrom, and the resolution of each shell."""
    from cryospin.fourier.fsc import (
        fourier_shell_correlation,
        resolution_at,
        shell_resolutions_angstrom,
    )
    from cryospin.volumes.resolution import half_map_resolution

    box, pixel = second.box, second.pixel_size_angstrom
    found = {"unmasked": fourier_shell_correlation(first.values, second.values)}
    halves = None if mask is None else half_map_resolution(first, second, mask, seed)
    if halves is not None:
        found |= {"masked": halves.masked, "corrected": halves.corrected}
    crossings = {
        name: {f"fsc_{at}": resolution_at(curve, at, box, pixel) for at in (0.5, 0.143)}
        for name, curve in found.items()
    }
    if halves is not None:  # which also tells agreement from chance
        crossings["corrected"] = {
            "fsc_0.5": halves.resolution_05_angstrom,
            "fsc_0.143": halves.resolution_0143_angstrom,
        }
    return {
        "resolution_angstrom": crossings,
        "shell_angstrom": shell_resolutions_angstrom(box, pixel).tolist(),
        "fsc": {name: curve.tolist() for name, curve in found.items()},
    }


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
