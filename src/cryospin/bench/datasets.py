"""The images of a benchmark: simulated once by `cryospin simulate`, kept for all methods."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryospin.bench.processes import run_command
from cryospin.bench.structures import Structure, model_file
from cryospin.errors import CryospinError
from cryospin.simulate.models import read_model

FILLED = 0.33
"""Radius of the molecule in boxes: it fills two thirds of the image."""


@dataclass(frozen=True)
class Conditions:
    """What is simulated of each structure. max_shift_pixel: 0 is centred."""

    particles: int
    box: int
    snr: float
    max_shift_pixel: float = 0.0
    ctf_from: str = "drawn"
    views: str = "uniform"

    def label(self, structure: Structure, seed: int) -> str:
        shift = f"_shift{self.max_shift_pixel:g}"
        views = "" if self.views == "uniform" else f"_{self.views}"
        ctf = "" if self.ctf_from == "drawn" else f"_{Path(self.ctf_from).stem}"
        size = f"n{self.particles}_d{self.box}_snr{self.snr:g}"
        return f"{structure.name.lower()}_{size}{shift}{views}{ctf}_{seed}"


SCALES = {
    "small": Conditions(particles=5_000, box=64, snr=0.1),
    "paper": Conditions(particles=50_000, box=128, snr=0.1),
}


@dataclass(frozen=True)
class Dataset:
    """Simulated images on disk, with their truth."""

    folder: Path
    structure: Structure
    conditions: Conditions
    seed: int
    pixel_size_angstrom: float

    @property
    def label(self) -> str:
        return self.conditions.label(self.structure, self.seed)

    @property
    def particles(self) -> Path:
        return self.folder / "particles.star"

    @property
    def truth(self) -> Path:
        return self.folder / "truth.star"

    @property
    def true_map(self) -> Path:
        return self.folder / "truth.mrc"


def simulated(
    structure: Structure, conditions: Conditions, seed: int, models: Path, folder: Path
) -> Dataset:
    """The images in `folder`, made there unless they are there already.

    Raises what `model_file` does, and CryospinError where the simulation fails.
    """
    model = model_file(structure.name, models)
    radius = read_model(model, 3.0).radius_angstrom
    dataset = Dataset(
        folder, structure, conditions, seed, round(radius / (FILLED * conditions.box), 2)
    )
    # the table is the last that `simulate` writes
    if dataset.particles.exists():
        return dataset
    options = {
        "out": folder,
        "particles": conditions.particles,
        "box": conditions.box,
        "pixel-size": dataset.pixel_size_angstrom,
        "snr": conditions.snr,
        "max-shift": conditions.max_shift_pixel,
        "ctf-from": conditions.ctf_from,
        "views": conditions.views,
        "seed": seed,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    ended = run_command("simulate", model, *words)
    if ended.exit_code != 0:
        raise CryospinError(f"simulating {structure.name} failed:\n{ended.complaint}")
    return dataset
