"""What is asked of a run, as records."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cryospin.devices import check_device_name
from cryospin.errors import BadDataError, UsageError
from cryospin.io.run_folder import NOT_CONVERGED
from cryospin.torchrun import ranks_asked_for

CONTRASTS = ("auto", "yes", "no")
AUTO_CLASSES = "auto"
MOST_CLASSES = 50
LEAST_OF_A_CLASS = 200
"""Particles, in both half-sets together."""
SEARCHED_WHERE_AUTO = 5
_OF_CLASSES = ("exhaustive", "cryospin")  # recipes that can search for several
_AT_LEAST = {
    "particle_diameter_angstrom": 1.0,
    "max_resolution_angstrom": 0.5,
    "max_shift_angstrom": 0.0,
    "initial_lowpass_angstrom": 1.0,
    "batch_size": 1,
    "memory_gb": 0.5,
}


@dataclass(frozen=True)
class Options:
    """What is asked of the result, and how to compute it; lengths in Angstrom.

    The fields are those of "settings" in result.json (docs/outputs.md), in their order.

    Raises
    ------
    UsageError: a number is too small, or `invert_contrast` is none of CONTRASTS,
        or `device` none that there is.
    """

    recipe: str
    classes: int | str
    junk: bool
    seed: int
    symmetry: str
    particle_diameter_angstrom: float | None
    max_resolution_angstrom: float | None
    max_shift_angstrom: float | None
    initial_map: Path | None
    initial_lowpass_angstrom: float
    device: str
    deterministic: bool
    threads: int | None
    batch_size: int
    memory_gb: float | None
    scratch: Path | None
    invert_contrast: str
    allow_bad: bool

    def __post_init__(self) -> None:
        for name, least in _AT_LEAST.items():
            value = getattr(self, name)
            # so that a value that is no number is refused too
            if value is not None and not value >= least:
                raise UsageError(f"{name} must be at least {least:g}, not {value}")
        check_device_name(self.device)
        if self.classes != 1:
            refuse_for_classes(self)
        if ranks_asked_for() > 1 and (self.classes != 1 or self.recipe != "exhaustive"):
            raise UsageError(
                f"{ranks_asked_for()} ranks were started together, and only recipe exhaustive "
                "without classes can use them\n  fix: start one process"
            )
        if self.invert_contrast not in CONTRASTS:
            known = ", ".join(CONTRASTS)
            raise UsageError(f"invert_contrast must be one of {known}, not {self.invert_contrast}")


def classes_to_search(options: Options, particles: int) -> int:
    """How many classes are searched for; those that are one are joined afterwards.

    Raises
    ------
    BadDataError: the particles are too few for so many.
    """
    most = max(1, particles // LEAST_OF_A_CLASS)
    if options.classes == AUTO_CLASSES:
        return min(SEARCHED_WHERE_AUTO, most)
    classes = int(options.classes)
    if 1 < classes > most:
        raise BadDataError(
            f"{particles} particles are too few for {classes} classes",
            fix=f"ask for {most} at most (--classes): {LEAST_OF_A_CLASS} particles for each",
        )
    return classes


def refuse_for_classes(options: Options) -> None:
    """Raise UsageError where options do not go with several classes, or that many cannot be."""
    classes = options.classes
    if classes != AUTO_CLASSES and not (isinstance(classes, int) and 1 <= classes <= MOST_CLASSES):
        raise UsageError(f'classes must be 1 to {MOST_CLASSES}, or "auto", not {classes}')
    if options.recipe not in _OF_CLASSES:
        raise UsageError(
            f"--recipe {options.recipe} finds one structure, and {options.classes} classes are "
            f"asked for\n  fix: --recipe {' or '.join(_OF_CLASSES)}, or leave out --classes"
        )
    if options.initial_map is not None:
        raise UsageError(
            "--classes starts from nothing, and an initial map is given\n"
            "  fix: leave out --initial-map, or --classes"
        )


def particles_of_class(run: Path, number: int) -> Path:
    """The table of one class of a run that told several apart.

    Raises
    ------
    UsageError: `run` is no such run, or has no class of this number (counted from 1).
    """
    described = run / "classes.json"
    if not described.is_file():
        raise UsageError(
            f"{run} is not the folder of a run with classes\n"
            "  fix: give one, or a table and no --select-class"
        )
    folders = [each["folder"] for each in json.loads(described.read_text())["classes"]]
    if not 1 <= number <= len(folders):
        raise UsageError(f"{run} has classes 1 to {len(folders)}, and no {number}")
    own = run / folders[number - 1]
    apart = own / NOT_CONVERGED / "particles.star"
    return apart if apart.exists() else own / "particles.star"


@dataclass(frozen=True)
class Job:
    """A run to be made: of which particles, into which folder, and who is told of it.

    checkpoint_seconds: of work that is lost when the run is killed, at most. progress: called
    with a step's name, what is done and what there is in all. listeners: called with each line
    of log.jsonl. tell: called with each sentence for the user.
    """

    particles: Path
    out: Path
    options: Options
    resume: bool
    checkpoint_seconds: float
    tensorboard: bool
    progress: Callable[[str, int, int], None]
    listeners: tuple[Callable[[dict[str, Any]], None], ...]
    tell: Callable[[str], None]

    def silent(self) -> Job:
        """The same, of which nobody is told: by another process."""
        return replace(
            self,
            progress=lambda step, done, total: None,
            tell=lambda sentence: None,
            listeners=(),
            tensorboard=False,
        )

    def settings(self) -> dict[str, Any]:
        """As result.json has them, before the images were looked at; JSON."""
        options = self.options
        told = {"particles": str(self.particles), **asdict(options)}
        told |= {name: str(told[name]) for name in ("initial_map", "scratch") if told[name]}
        if options.initial_map is None:
            told["initial_lowpass_angstrom"] = None
        return told
