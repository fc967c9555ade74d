"""`cryospin evaluate`: a run against the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option


def evaluate(
    directory: Annotated[Path, Argument(help="Folder that `cryospin reconstruct` wrote.")],
    truth: Annotated[Path, Option(help="Table (.star or .cs) with the true poses.")],
    true_map: Annotated[Path | None, Option("--map", help="The true map.")] = None,
    symmetry: Annotated[
        str,
        Option(help="Point group of the true map, in its axes; the axis of C2, C3 ... is found."),
    ] = "C1",
    as_json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Pose errors and map resolution against the truth, after the best global frame and hand."""
    from cryospin.evaluate.run import evaluate_run

    result = evaluate_run(directory, truth, true_map, symmetry)
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        print_evaluation(result)


def print_evaluation(result: dict[str, Any]) -> None:
    """The numbers as tables: poses by half-set, maps by half-map."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    matched, truth = result["particles"], result["particles_in_truth"]
    console.print(f"{matched} particles of {truth} in the truth, symmetry {result['symmetry']}")
    if result["verdict"] is not None:
        console.print(f"verdict of the run: {result['verdict']}")
    poses = Table("poses", "all", *(f"half {half}" for half in result["halves"]))
    for label, read in POSE_ROWS:
        poses.add_row(label, *(read(part) for part in (result, *result["halves"].values())))
    console.print(poses)
    if result["map"] is None:
        return
    parts = {"map": result["map"]}
    parts |= {name: result["map"][name] for name in ("half1", "half2") if name in result["map"]}
    maps = Table("FSC to the truth", *parts)
    for label, key in MAP_ROWS:
        maps.add_row(label, *(angstrom(part[key]) for part in parts.values()))
    console.print(maps)
    console.print(
        f"hand {'flipped' if result['map']['hand_flipped'] else 'as in the truth'}, "
        f"correlation {result['map']['correlation']:.3f}"
    )


def angstrom(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f} A"


def pixels(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f} px"


def degrees(*keys: str) -> Any:
    def read(part: dict[str, Any]) -> str:
        value: Any = part["rotation_error_degrees"]
        for key in keys:
            value = value[key]
        return f"{value:.2f} deg"

    return read


POSE_ROWS = (
    ("rotation error, median", degrees("median")),
    ("rotation error, mean", degrees("mean")),
    ("view direction, median", degrees("view", "median")),
    ("in-plane, median", degrees("in_plane", "median")),
    (
        "beyond 10 degrees",
        lambda part: f"{part['rotation_error_degrees']['percent_beyond_10']:.1f} %",
    ),
    ("shift error, rms", lambda part: pixels(part["shift_error"]["rms_pixel"])),
    (
        "  of those within 10 degrees",
        lambda part: pixels(part["shift_error"]["rms_pixel_within_10_degrees"]),
    ),
    ("hand", lambda part: "flipped" if part["hand_flipped"] else "as in the truth"),
)
MAP_ROWS = (
    ("0.5, masked", "fsc_0.5_angstrom"),
    ("0.143, masked", "fsc_0.143_angstrom"),
    ("0.5, unmasked", "unmasked_fsc_0.5_angstrom"),
    ("0.143, unmasked", "unmasked_fsc_0.143_angstrom"),
)
