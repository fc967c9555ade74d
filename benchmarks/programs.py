"""How each program of side_by_side.py is called, and where it leaves its poses and its map.

Each runs with its own defaults on one thread, and is told what it must be told and its users
know: RELION the diameter of its mask. They are programs of their own, called by their command
lines: nothing of theirs is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryospin.bench.datasets import FILLED, Dataset
from cryospin.bench.processes import CRYOSPIN
from cryospin.bench.runs import Method
from cryospin.errors import NOT_CONVERGED_CODE
from cryospin.io.run_folder import NOT_CONVERGED

Line = tuple[object, ...]

MASK = 2 * FILLED + 0.09
"""Diameter of RELION's circular mask in boxes: the molecule and what is around it."""


class Program(Protocol):
    """What is asked of a program."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> Line:
        """The command line that prints it."""

    @property
    def accepted(self) -> tuple[int, ...]:
        """Exit codes with which there are poses and a map."""

    def lines(self, dataset: Dataset, seed: int) -> list[Line]:
        """Command lines, one after the other, in an empty folder that is the current one."""

    def results(self, folder: Path) -> tuple[Path, Path]:
        """A table with the poses, and the map."""


@dataclass(frozen=True)
class Cryospin:
    recipe: str = "exhaustive"
    accepted: tuple[int, ...] = (0, NOT_CONVERGED_CODE)

    @property
    def name(self) -> str:
        return f"cryospin, {self.recipe}"

    @property
    def version(self) -> Line:
        return (*CRYOSPIN, "--version")

    def lines(self, dataset: Dataset, seed: int) -> list[Line]:
        words = Method(self.recipe, seed, threads=1).words(dataset, Path("run"))
        return [(*CRYOSPIN, *words)]

    def results(self, folder: Path) -> tuple[Path, Path]:
        run = folder / "run"
        place = run if (run / "map.mrc").exists() else run / NOT_CONVERGED
        return place / "particles.star", place / "map.mrc"


@dataclass(frozen=True)
class Relion:
    """RELION 3.1's InitialModel job, with what `relion_pipeliner` makes of its defaults; before it
    `relion_preprocess`, which brings the background of each image to mean 0 and deviation 1, as
    extraction does.

    iterations: of stochastic gradient descent at 35 Angstrom, between, and at 15 Angstrom.
    """

    iterations: tuple[int, int, int] = (50, 200, 50)
    accepted: tuple[int, ...] = (0,)

    @property
    def name(self) -> str:
        return "RELION InitialModel"

    @property
    def version(self) -> Line:
        return ("relion_refine", "--version")

    def lines(self, dataset: Dataset, seed: int) -> list[Line]:
        box = dataset.conditions.box
        first, between, last = self.iterations
        stack = dataset.particles.with_suffix(".mrcs")
        normalise: Line = ("relion_preprocess", "--operate_on", stack, "--norm")
        normalise += ("--operate_out", stack.name, "--bg_radius", round(MASK * box / 2))
        refine: Line = ("relion_refine", "--i", dataset.particles.name, "--o", "./run")
        refine += ("--sgd", "--denovo_3dref", "--ctf", "--K", 1, "--sym", "C1")
        refine += ("--sgd_ini_iter", first, "--sgd_inbetween_iter", between)
        refine += ("--sgd_fin_iter", last, "--sgd_write_iter", 10)
        refine += ("--sgd_ini_resol", 35, "--sgd_fin_resol", 15)
        refine += ("--sgd_ini_subset", 100, "--sgd_fin_subset", 500)
        refine += ("--flatten_solvent", "--zero_mask", "--dont_combine_weights_via_disc")
        refine += ("--pool", 3, "--pad", 2, "--skip_gridding", "--oversampling", 1)
        refine += ("--healpix_order", 1, "--offset_range", 6, "--offset_step", 4)
        refine += ("--particle_diameter", round(MASK * box * dataset.pixel_size_angstrom))
        refine += ("--random_seed", seed, "--j", 1)
        return [normalise, ("cp", dataset.particles, "."), refine]

    def results(self, folder: Path) -> tuple[Path, Path]:
        last = folder / f"run_it{sum(self.iterations):03d}"
        return Path(f"{last}_data.star"), Path(f"{last}_class001.mrc")


@dataclass(frozen=True)
class Aspire:
    """ASPIRE's common lines between the images as they are; the map is RELION's of its poses."""

    program: Path
    accepted: tuple[int, ...] = (0,)

    @property
    def name(self) -> str:
        return "ASPIRE common lines"

    @property
    def version(self) -> Line:
        ask = "from importlib.metadata import version; print(version('aspire'))"
        return (self.program.with_name("python"), "-c", ask)

    def lines(self, dataset: Dataset, seed: int) -> list[Line]:
        orient: Line = (self.program, "orient3d", "--starfile_in", dataset.particles)
        orient += ("--data_folder", dataset.folder, "--starfile_out", "oriented.star")
        orient += ("--pixel_size", dataset.pixel_size_angstrom)
        # the table it writes names a stack that it does not write
        named = f"oriented_0_{dataset.conditions.particles - 1}.mrcs"
        link: Line = ("ln", "-s", dataset.particles.with_suffix(".mrcs"), named)
        reconstruct = ("relion_reconstruct", "--i", "oriented.star", "--o", "map.mrc", "--ctf")
        return [orient, link, reconstruct]

    def results(self, folder: Path) -> tuple[Path, Path]:
        return folder / "oriented.star", folder / "map.mrc"


@dataclass(frozen=True)
class CryoDrgn:
    """cryoDRGN's ab initio reconstruction of one structure."""

    program: Path
    epochs: int = 30
    accepted: tuple[int, ...] = (0,)

    @property
    def name(self) -> str:
        return "cryoDRGN abinit"

    @property
    def version(self) -> Line:
        return (self.program, "--version")

    def lines(self, dataset: Dataset, seed: int) -> list[Line]:
        train: Line = (
            self.program,
            "abinit",
            "particles.txt",
            "--ctf",
            "particles.ctf.pkl",
            "-o",
            "model",
        )
        train += ("--zdim", 0, "--seed", seed, "--num-epochs", self.epochs)
        poses: Line = ("cp", f"model/pose.{self.epochs}.pkl", "poses.pkl")
        return [(*CRYOSPIN, "convert", dataset.particles, "particles.txt"), train, poses]

    def results(self, folder: Path) -> tuple[Path, Path]:
        return folder / "particles.txt", folder / "model" / f"reconstruct.{self.epochs}.mrc"
