"""What the user asks of a run, in the user's units."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryospin.types import DensityMap


@dataclass(frozen=True)
class Scratch:
    """A folder for the images' coefficients. key: of the run, by which it knows its files."""

    folder: Path
    key: str


@dataclass(frozen=True)
class Request:
    """What the user asks of a run. Lengths in Angstrom.

    max_shift_angstrom: how far particles may lie from the box centre, per axis; default 5 %
        of the box. either_contrast: a map in which the particle is dark is turned to its
        negative. device: "cpu", "cuda" or "cuda:N". doubts: what an audit holds against the
        data, in words: a run that has any is ambiguous at best. initial_map: skips
        exploration, low-passed to `initial_lowpass_angstrom`. scratch: where the images'
        coefficients are kept; None: in memory. symmetry_asked: a group that was imposed from the
        start, to no good: it is looked for in a map found without, as with "auto".
    """

    seed: int = 0
    symmetry: str = "C1"
    particle_diameter_angstrom: float | None = None
    max_resolution_angstrom: float | None = None
    max_shift_angstrom: float | None = None
    initial_map: DensityMap | None = None
    initial_lowpass_angstrom: float = 30.0
    batch_size: int = 500
    device: str = "cpu"
    doubts: tuple[str, ...] = ()
    either_contrast: bool = False
    scratch: Scratch | None = None
    symmetry_asked: str | None = None
