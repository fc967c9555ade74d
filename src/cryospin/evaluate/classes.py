"""A run with several classes against a truth with several structures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from cryospin.errors import BadDataError, UsageError
from cryospin.evaluate.agreement import Agreement
from cryospin.evaluate.image_fsc import image_fsc_summary, moved_to_truth
from cryospin.evaluate.maps import map_summary
from cryospin.evaluate.poses import pose_summary
from cryospin.evaluate.told import halves_in, map_if_there, told_in
from cryospin.io.formats import poses_of
from cryospin.io.mrc import read_map
from cryospin.io.run_folder import NOT_CONVERGED, class_folder
from cryospin.io.truth import TRUE_MAP, class_map_name, conformation_map_name, conformations_of
from cryospin.types import DensityMap, ParticleStack
from cryospin.volumes.alignment import align_maps
from cryospin.volumes.masks import soft_mask
from cryospin.volumes.resample import resample

# fewer poses have no frame of their own
_FEWEST = 3


@dataclass(frozen=True)
class Sorted:
    """The particles that a run and its truth both have, row by row.

    folders: of each class found, with the files of an ordinary run; of a run without classes the
        run's own.
    has_classes: whether the run has.
    true_maps: the true map, or the folder of several; None: not given.
    """

    run: ParticleStack
    truth: ParticleStack
    folders: tuple[Path, ...]
    has_classes: bool
    true_maps: Path | None

    @cached_property
    def found(self) -> Int[np.ndarray, " n"]:
        """Class of each particle, from 0; -1: of none."""
        if not self.has_classes:
            return np.zeros(len(self.run), dtype=np.int64)
        return _numbers(self.run)

    @cached_property
    def true(self) -> Int[np.ndarray, " n"]:
        """Likewise as the truth says; a table that tells of no classes is of one."""
        if self.truth.classes is None and "classes" not in self.truth.unread:
            return np.zeros(len(self.truth), dtype=np.int64)
        return _numbers(self.truth)

    @cached_property
    def shown(self) -> Int[np.ndarray, " n"]:
        """The structure that each particle shows, from 0; -1: junk. Conformations are structures
        of one class; without any, classes are."""
        conformations = conformations_of(self.truth)
        return self.true if conformations is None else conformations - 1

    @property
    def several_true_maps(self) -> bool:
        """Whether the truth has several structures, or junk, and the folder of their maps is
        given."""
        given = self.true_maps is not None and self.true_maps.is_dir()
        return given and bool((self.shown != 0).any())

    @property
    def true_map_of_most(self) -> Path | None:
        """The map that was given; of several the one that most particles show."""
        if self.true_maps is None or not self.true_maps.is_dir():
            return self.true_maps
        return self.true_map(int(np.bincount(self.shown[self.shown >= 0]).argmax()))

    @property
    def has_conformations(self) -> bool:
        return self.shown is not self.true

    def true_map(self, structure: int) -> Path | None:
        """Of a structure. Raises UsageError where it is not there, or is one file for many."""
        if self.true_maps is None:
            return None
        if not self.true_maps.is_dir():
            if self.shown.max() > 0:
                problem = f"{self.true_maps} is one map, and the truth has several structures"
                raise UsageError(f"{problem}\n  fix: give --map the folder of the true maps")
            return self.true_maps
        name = class_map_name(structure + 1)
        if self.has_conformations:
            name = conformation_map_name(structure + 1)
        elif self.shown.max() <= 0 and not (self.true_maps / name).is_file():
            name = TRUE_MAP
        if not (self.true_maps / name).is_file():
            fix = "give --map the folder that cryospin simulate wrote"
            raise UsageError(f"no such file: {self.true_maps / name}\n  fix: {fix}")
        return self.true_maps / name


def _numbers(stack: ParticleStack) -> Int[np.ndarray, " n"]:
    if stack.classes is None:
        raise stack.unread.get("classes") or BadDataError(
            "the table tells of no classes",
            file=stack.source,
            column="rlnClassNumber",
            fix="give the table of a run with several classes",
        )
    return stack.classes.number.numpy()


def class_folders(directory: Path) -> tuple[Path, ...]:
    """Of a run's classes, also of those between that have none; empty where no class has one."""
    found = [path.name for path in directory.glob("class_[0-9]*") if path.is_dir()]
    numbers = [int(name[6:]) for name in found if name[6:].isdecimal()]
    last = max(numbers, default=0)
    return tuple(directory / class_folder(number) for number in range(1, last + 1))


def class_summary(particles: Sorted, symmetry: str) -> dict[str, Any]:
    """How well classes, their poses and their maps agree with the truth; ready for JSON.

    Classes are counted from 1, as in tables. The confusion matrix has a row for each true class
    and a column for each class found, junk first.
    """
    found, true = particles.found, particles.true
    classes = max(len(particles.folders), int(found.max()) + 1)
    agreement = Agreement.of(found, true, classes, int(true.max()) + 1)
    entries, placed = [], {}
    for number in range(classes):
        target = agreement.matches.get(number, agreement.mostly(number))
        entry, maps = _one_class(particles, number, target, symmetry)
        match = agreement.matches.get(number)
        entries.append(
            {"class": number + 1, "true_class": None if match is None else match + 1, **entry}
        )
        if maps is not None:
            placed[number] = maps
    return {
        "accuracy": agreement.accuracy,
        "adjusted_rand_index": agreement.adjusted_rand_index,
        "confusion": agreement.counts.tolist(),
        "junk": _junk(agreement),
        "each": entries,
        "per_image_fsc_auc": _per_image(particles, placed),
    }


def _one_class(
    particles: Sorted, number: int, target: int | None, symmetry: str
) -> tuple[dict[str, Any], tuple[DensityMap, DensityMap] | None]:
    """The errors of a class against the true class it is or mostly shows, and its map and mask in
    the frame of the truth."""
    members = particles.found == number
    folder = particles.folders[number] if number < len(particles.folders) else None
    entry: dict[str, Any] = {
        "particles": int(members.sum()),
        "shows": None if target is None else target + 1,
        "verdict": None if folder is None else told_in(folder).get("verdict"),
        "poses": None,
        "map": None,
    }
    if target is None:
        return entry, None
    rows = np.flatnonzero(members & (particles.true == target))
    if len(rows) >= _FEWEST:
        run, truth = particles.run.select(rows), particles.truth.select(rows)
        pixel = run.pixel_size_angstrom
        entry["poses"] = pose_summary(poses_of(run), poses_of(truth), pixel, symmetry)
    # of several conformations the one that most of its particles have
    seen = particles.shown[rows]
    path = particles.true_map(int(np.bincount(seen).argmax()))
    place = None if folder is None else _place_of_maps(folder)
    if path is None or place is None:
        return entry, None
    density = read_map(place / "map.mrc")
    true_map = read_map(path, pad_to_cube=True)
    true_map = resample(true_map, density.box, density.pixel_size_angstrom)
    alignment = align_maps(true_map, density)
    mask = map_if_there(place / "mask.mrc")
    entry["map"] = map_summary(density, true_map, mask, halves_in(place), alignment)
    moved = moved_to_truth(density, alignment)
    window = soft_mask(true_map) if mask is None else moved_to_truth(mask, alignment)
    return entry, (moved, window)


def _place_of_maps(folder: Path) -> Path | None:
    """Where a class has its map: also one that is not claimed, since the truth tells its worth."""
    places = (folder, folder / NOT_CONVERGED)
    return next((place for place in places if (place / "map.mrc").is_file()), None)


def _junk(agreement: Agreement) -> dict[str, Any] | None:
    """None where there is none, neither in the truth nor in the run."""
    true, found = int(agreement.counts[0].sum()), int(agreement.counts[:, 0].sum())
    both = int(agreement.counts[0, 0])
    if not true and not found:
        return None
    return {
        "particles": true,
        "found": found,
        "recall": both / true if true else None,
        "precision": both / found if found else None,
    }


def _per_image(
    particles: Sorted, placed: dict[int, tuple[DensityMap, DensityMap]]
) -> dict[str, Any] | None:
    def true_map(structure: int) -> DensityMap:
        path = particles.true_map(structure)
        assert path is not None
        return read_map(path, pad_to_cube=True)

    if particles.true_maps is None:
        return None
    return image_fsc_summary(placed, true_map, particles.found, particles.shown)
