"""What is asked of a run, as records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryospin.devices import check_device_name
from cryospin.errors import UsageError

CONTRASTS = ("auto", "yes", "no")
MOST_CLASSES = 50
_AT_LEAST = {
    "particle_diameter_angstrom": 1.0,
    "max_resolution_angstrom": 0.5,
    "max_shift_angstrom": 0.0,
    "initial_lowpass_angstrom": 1.0,
    "batch_size": 1,
    "classes": 1,
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
    classes: int
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
    invert_contrast: str
    allow_bad: bool

    def __post_init__(self) -> None:
        for name, least in _AT_LEAST.items():
            value = getattr(self, name)
            # so that a value that is no number is refused too
            if value is not None and not value >= least:
                raise UsageError(f"{name} must be at least {least:g}, not {value}")
        check_device_name(self.device)
        if self.classes > 1:
            refuse_for_classes(self)
        if self.invert_contrast not in CONTRASTS:
            known = ", ".join(CONTRASTS)
            raise UsageError(f"invert_contrast must be one of {known}, not {self.invert_contrast}")


def refuse_for_classes(options: Options) -> None:
    """Raise UsageError where options do not go with several classes."""
    if options.classes > MOST_CLASSES:
        raise UsageError(f"classes must be at most {MOST_CLASSES}, not {options.classes}")
    if options.recipe != "exhaustive":
        raise UsageError(
            f"--recipe {options.recipe} finds one structure, and {options.classes} classes are "
            "asked for\n  fix: leave out --recipe, or --classes"
        )
    if options.initial_map is not None:
        raise UsageError(
            "--classes starts from nothing, and an initial map is given\n"
            "  fix: leave out --initial-map, or --classes"
        )


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

    def settings(self) -> dict[str, Any]:
        """As result.json has them, before the images were looked at; JSON."""
        options = self.options
        told = {"particles": str(self.particles), **asdict(options)}
        if options.initial_map is None:
            return told | {"initial_lowpass_angstrom": None}
        return told | {"initial_map": str(options.initial_map)}
