"""`cryospin evaluate`: a run against the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

if TYPE_CHECKING:
    from rich.console import Console


def evaluate(
    directory: Annotated[Path, Argument(help="Folder that `cryospin reconstruct` wrote.")],
    truth: Annotated[Path, Option(help="Table (.star or .cs) with the true poses.")],
    true_map: Annotated[
        Path | None, Option("--map", help="The true map, or the folder of those of a mixture.")
    ] = None,
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
    """The numbers as tables: poses by half-set, maps by half-map; of several classes by class."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    matched, truth = result["particles"], result["particles_in_truth"]
    console.print(f"{matched} particles of {truth} in the truth, symmetry {result['symmetry']}")
    if result["verdict"] is not None:
        console.print(f"verdict of the run: {result['verdict']}")
    if "classes" in result:
        print_classes(result["classes"], console)
    if "halves" not in result:
        return
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


def print_classes(classes: dict[str, Any], console: Console) -> None:
    """How well particles are sorted; then each class, and where particles went."""
    from rich.table import Table

    accuracy, index = classes["accuracy"], classes["adjusted_rand_index"]
    console.print(f"classes: accuracy {accuracy:.3f}, adjusted Rand index {index:.3f}")
    table = Table("class", *(str(each["class"]) for each in classes["each"]))
    for label, read in CLASS_ROWS:
        table.add_row(label, *(read(each) for each in classes["each"]))
    console.print(table)
    confusion = Table("particles", *map(in_words, range(len(classes["confusion"][0]))))
    for number, row in enumerate(classes["confusion"]):
        confusion.add_row(f"true {in_words(number)}", *map(str, row))
    console.print(confusion)
    if (scores := classes["per_image_fsc_auc"]) is not None and scores["images_scored"]:
        of = f"{scores['images_scored']} of {scores['images']} images"
        means = " and ".join(
            f"{scores[f'{name}_mean']:.3f} {name} (median {scores[f'{name}_median']:.3f})"
            for name in ("unmasked", "masked")
        )
        console.print(f"area under the FSC per image: {means}, {of}")


def in_words(number: int) -> str:
    return f"class {number}" if number else "junk"


def of_poses(read: Any) -> Any:
    return lambda each: "none" if each["poses"] is None else read(each["poses"])


def of_map(key: str) -> Any:
    return lambda each: "none" if each["map"] is None else angstrom(each["map"][key])


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
CLASS_ROWS = (
    ("verdict", lambda each: each["verdict"] or "none"),
    ("particles", lambda each: str(each["particles"])),
    (
        "is the true class",
        lambda each: "none" if each["true_class"] is None else str(each["true_class"]),
    ),
    ("shows mostly", lambda each: "nothing" if each["shows"] is None else f"class {each['shows']}"),
    ("rotation error, median", of_poses(degrees("median"))),
    ("shift error, rms", of_poses(lambda part: pixels(part["shift_error"]["rms_pixel"]))),
    ("FSC to the truth, 0.5", of_map("fsc_0.5_angstrom")),
    ("FSC to the truth, 0.143", of_map("fsc_0.143_angstrom")),
)
MAP_ROWS = (
    ("0.5, masked", "fsc_0.5_angstrom"),
    ("0.143, masked", "fsc_0.143_angstrom"),
    ("0.5, unmasked", "unmasked_fsc_0.5_angstrom"),
    ("0.143, unmasked", "unmasked_fsc_0.143_angstrom"),
)
