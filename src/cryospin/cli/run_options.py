"""Options of a run that more than one command takes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Option


class Invert(StrEnum):
    auto = "auto"
    yes = "yes"
    no = "no"


Recipe = Annotated[str, Option(help="Method: exhaustive, cryospin, ...; docs/recipes.md.")]
Junk = Annotated[
    bool, Option("--junk/--no-junk", help="With classes: images may belong to none of them.")
]
SelectClass = Annotated[
    int | None, Option(min=1, help="Continue with one class of a run with classes.")
]
Symmetry = Annotated[
    str, Option(help="Point group to impose: C1, C3, D7, T, O, I ...; auto: find it.")
]
ParticleDiameter = Annotated[
    float | None, Option(min=1.0, help="Angstrom; default: find it from the images.")
]
MaxResolution = Annotated[float | None, Option(min=0.5, help="Angstrom; do not use finer detail.")]
MaxShift = Annotated[
    float | None, Option(min=0.0, help="Largest offset in x, y, Angstrom; default 5 % of box.")
]
InitialMap = Annotated[Path | None, Option(help="Start from this map instead of random poses.")]
InitialLowpass = Annotated[float, Option(min=1.0, help="Angstrom; low-pass the initial map to it.")]
Device = Annotated[str, Option(help="auto, cpu, cuda or cuda:N; auto: a card if one can be used.")]
Deterministic = Annotated[
    bool, Option("--deterministic", help="Give the same bits every time on a card, too; slower.")
]
Threads = Annotated[int | None, Option(help="Default: all cores available.")]
InvertContrast = Annotated[
    Invert, Option(help="Invert the images; auto: if they or the map show protein dark.")
]
AllowBad = Annotated[
    bool,
    Option("--allow-bad", help="Continue although more than a tenth of the images is bad."),
]
BatchSize = Annotated[
    int, Option(min=1, help="Images processed at once; changes memory, not the result.")
]
Memory = Annotated[
    float | None, Option(min=0.5, help="GB to stay within; default: 60 % of what there is.")
]
Scratch = Annotated[
    Path | None, Option(help="Folder for images that memory does not hold; default: in OUT.")
]
CheckpointSeconds = Annotated[
    float, Option(min=0.0, help="The most work that is lost when a run is killed.")
]


def classes_in(word: str) -> int | str:
    """A number, or the word where it is none."""
    return int(word) if word.isdecimal() else word
