"""`cryospin symmetry`: the point group of a map, about axes that lie anywhere."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

if TYPE_CHECKING:
    from cryospin.volumes.point_group import PointGroup


def symmetry(
    first: Annotated[Path, Argument(help="A half-map, or a map (.mrc).", metavar="HALF1.mrc")],
    second: Annotated[
        Path | None, Argument(help="The other half-map, in the same frame.", metavar="[HALF2.mrc]")
    ] = None,
    resolution: Annotated[
        float | None, Option(min=0.1, help="Angstrom to compare to; a single map needs it.")
    ] = None,
    out: Annotated[
        Path | None, Option(help="Also write the map in the axes of its group (.mrc).")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Point group of a map, C1 where it has none, and where its axes are.

    Made without symmetry (C1), that is: a map shows the group that was imposed on it.
    """
    from cryospin.io.mrc import read_map, write_map
    from cryospin.io.outputs import check_output_file
    from cryospin.volumes.alignment import apply_alignment
    from cryospin.volumes.point_group import find_point_group, mean_map

    inputs = [path for path in (first, second) if path is not None]
    if out is not None:
        check_output_file(out, inputs)
    maps = [read_map(path) for path in inputs]
    other = maps[1] if len(maps) > 1 else None
    found = find_point_group(maps[0], other, resolution)
    if out is not None:
        write_map(out, apply_alignment(mean_map(maps[0], other), found.alignment))
    print(json.dumps(as_told(found), indent=2) if as_json else in_words(found))


def as_told(found: PointGroup) -> dict[str, Any]:
    """What is printed as JSON."""
    return {
        "name": found.name,
        "rotation": found.alignment.rotation.tolist(),
        "shift_angstrom": found.alignment.shift_angstrom.tolist(),
        "resolution_angstrom": found.resolution_angstrom,
        "tried": [asdict(each) for each in found.tried],
    }


def in_words(found: PointGroup) -> str:
    lines = [
        f"{each.name}: turned by its operators the map keeps {100 * each.kept:.0f} % of its "
        f"agreement, by other rotations {100 * each.unrelated:.0f} %"
        for each in found.tried
    ]
    if found.name == "C1":
        return "\n".join([*lines, f"C1: no symmetry to {found.resolution_angstrom:.1f} Angstrom"])
    rows = (" ".join(f"{value:8.4f}" for value in row) for row in found.alignment.rotation.tolist())
    shift = ", ".join(f"{value:.2f}" for value in found.alignment.shift_angstrom.tolist())
    return "\n".join(
        [
            *lines,
            f"looks {found.name}, compared to {found.resolution_angstrom:.1f} Angstrom",
            "into RELION's axes by x' = Q x + s, Angstrom from the box centre, Q =",
            *rows,
            f"s = ({shift})",
        ]
    )
