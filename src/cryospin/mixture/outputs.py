"""A mixture on disk: a folder for each structure, as of a run of its own, and who is in which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.io.atomic import atomic_path, left_unfinished
from cryospin.io.mrc import write_map
from cryospin.io.outputs import Outputs, begin_outputs
from cryospin.io.record import RECORD, is_ours
from cryospin.io.run_folder import NOT_CONVERGED, class_folder
from cryospin.io.table_writer import write_beside
from cryospin.mixture.result import MixtureResult
from cryospin.particles.contrast import inverted
from cryospin.reconstruct.outputs import (
    RUN,
    resolution_in_angstrom,
    run_record,
    write_result,
)
from cryospin.reconstruct.result import AMBIGUOUS, CONVERGED, FAILED
from cryospin.reconstruct.samples import SAMPLES, write_samples
from cryospin.types import Classes, DensityMap, ParticleStack, Poses

CLASSES = "classes.json"
_MOST = 99  # classes whose folders are looked for
# maps of which so much is the same, where they lie, have a difference worth looking at
_MUCH_IN_COMMON = 0.6
_LOW_SHELLS = 8


def difference_name(number: int) -> str:
    """Of the map that is left of a class's when the first one's is taken from it."""
    return f"class_{number:02d}_minus_01.mrc"


def mixture_outputs(classes: int) -> Outputs:
    """What a run with so many classes writes into its folder (docs/outputs.md)."""
    numbers = range(1, classes + 1)
    of_classes = [f"{class_folder(number)}/{name}" for number in numbers for name in RUN.files]
    differences = [difference_name(number) for number in numbers[1:]]
    return Outputs(
        files=(*RUN.files, CLASSES, *differences, *of_classes),
        growing=RUN.growing,
        folders=(*RUN.folders, *(class_folder(number) for number in numbers)),
    )


def clear_classes(directory: Path) -> None:
    """Take away an earlier run's classes; what is not ours in their folders stays."""
    names = [CLASSES, *(difference_name(number) for number in range(2, _MOST + 1))]
    for name in names:
        if is_ours(directory / name):
            (directory / name).unlink()
    for number in range(1, _MOST + 1):
        folder = directory / class_folder(number)
        if folder.is_dir() and is_ours(folder):
            _clear_class(folder)


def _clear_class(folder: Path) -> None:
    for name in RUN.files:
        path = folder / name
        for unfinished in left_unfinished(path.parent, path.name):
            unfinished.unlink()
        if is_ours(path):
            path.unlink()
    apart = folder / NOT_CONVERGED
    if apart.is_dir() and not any(apart.iterdir()):
        apart.rmdir()
    if {path.name for path in folder.iterdir()} <= {RECORD}:
        (folder / RECORD).unlink(missing_ok=True)
        folder.rmdir()


def write_mixture(
    found: MixtureResult,
    stack: ParticleStack,
    directory: Path,
    seconds: dict[str, float],
    settings: dict[str, Any],
) -> list[Path]:
    """Every file of a run with classes, each atomically, result.json last; the classes' folders.

    Raises
    ------
    ResourceError: the disk does not take one of them; result.json is then not there.
    """
    folders = []
    for number, each in enumerate(found.classes, 1):
        folder = directory / class_folder(number)
        folder.mkdir(exist_ok=True)
        begin_outputs(folder, RUN)
        own, own_settings = stack.select(each.rows), settings | {"class": number}
        if each.result.contrast_inverted:
            own, screening = inverted(own), settings["screening"]
            turned_back = not screening["contrast_inverted"]
            own_settings["screening"] = screening | {"contrast_inverted": turned_back}
        trusted = each.result.resolution.resolution_05_angstrom
        write_samples(folder / SAMPLES, own, each.result.map, each.result.poses, trusted)
        write_result(each.result, own, folder, seconds, own_settings)
        folders.append(folder)
    for number, difference in differences(found):
        write_map(directory / difference_name(number), difference)
    classes = Classes(found.numbers, found.weights)
    write_beside(directory, stack, own_poses(found), found.half_set, classes)
    described = describe(found)
    for name, content in (
        (CLASSES, described),
        ("result.json", run_record(stack, seconds, settings) | described),
    ):
        with atomic_path(directory / name) as temporary:
            temporary.write_text(json.dumps(content, indent=1))
    return folders


def describe(found: MixtureResult) -> dict[str, Any]:
    """The contents of classes.json (docs/outputs.md)."""
    verdict, reasons = verdict_of(found)
    return {
        "verdict": verdict,
        "reasons": reasons,
        "classes_asked": found.asked,
        "junk": {
            "particles": int((found.numbers < 0).sum()),
            "fraction": round(float((found.numbers < 0).double().mean()), 4),
        },
        "classes": [
            {
                "folder": class_folder(number),
                "particles": len(each.rows),
                "fraction": round(len(each.rows) / len(found.numbers), 4),
                "verdict": each.result.verdict.label,
                "reasons": list(each.result.verdict.reasons),
                "agreement_radius": each.agreement,
                "resolution_angstrom": resolution_in_angstrom(each.result),
            }
            for number, each in enumerate(found.classes, 1)
        ],
        "compared": [
            {
                "classes": [each.one + 1, each.other + 1],
                "kappa": each.kappa,
                "difference": each.difference,
            }
            for each in found.likenesses
        ],
        "joined": [
            {"kappa": each.kappa, "difference": each.difference, "turned": each.turned}
            for each in found.joined
        ],
        "confusion_between_halves": found.confusion.tolist(),
    }


def verdict_of(found: MixtureResult) -> tuple[str, list[str]]:
    """One word for all classes, and why."""
    words = [each.result.verdict.label for each in found.classes]
    reasons = []
    if len(words) < found.asked:
        reasons.append(
            f"of {found.asked} classes the images support {len(words)}: what the others differ by "
            "the two half-sets do not find alike"
        )
    for number, each in enumerate(found.classes, 1):
        share = 100 * len(each.rows) / len(found.numbers)
        why = each.result.verdict.reasons[0]
        reasons.append(f"class {number} ({share:.0f} %) {words[number - 1]}: {why}")
    if all(word == CONVERGED for word in words):
        return CONVERGED, reasons
    return (AMBIGUOUS if CONVERGED in words else FAILED), reasons


def own_poses(found: MixtureResult) -> Poses:
    """Of each particle the pose in its class; of no confidence where it is in none."""
    count = len(found.half_set)
    poses = Poses(torch.eye(3).repeat(count, 1, 1), torch.zeros(count, 2), torch.zeros(count))
    for each in found.classes:
        rows, own = torch.as_tensor(each.rows), each.result.poses
        poses.rotations[rows] = own.rotations
        poses.shifts_angstrom[rows] = own.shifts_angstrom
        poses.confidence[rows] = own.confidence
    return poses


def differences(found: MixtureResult) -> list[tuple[int, DensityMap]]:
    """Of every class that shares most of its mass, and the frame, with the first: its number, and
    its map less the first one's."""
    first = found.classes[0].result.map
    shared = []
    for number, each in enumerate(found.classes[1:], 2):
        own = each.result.map
        if in_common(own.values, first.values) > _MUCH_IN_COMMON:
            shared.append((number, DensityMap(own.values - first.values, own.pixel_size_angstrom)))
    return shared


def in_common(one: Tensor, other: Tensor) -> float:
    """Mean FSC of two maps, where they lie, over the lowest shells."""
    return float(fourier_shell_correlation(one, other)[:_LOW_SHELLS].mean())
