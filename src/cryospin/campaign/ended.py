"""Runs of a campaign that have ended, read for comparison: verdicts, classes, maps and poses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from cryospin.campaign.plan import Campaign, PlannedRun
from cryospin.errors import BadDataError
from cryospin.io.formats import read_particles_of_any_kind
from cryospin.io.run_folder import NOT_CONVERGED
from cryospin.report.inputs import read_result
from cryospin.run.finished import Run
from cryospin.types import ParticleStack


@dataclass(frozen=True)
class EndedMap:
    """A map of a run: its only one, or a class's. place: where map.mrc is, claimed or not.

    resolution_angstrom: FSC 0.143 of its half-maps; None where no map is claimed.
    """

    place: Path
    resolution_angstrom: float | None


@dataclass(frozen=True)
class EndedRun:
    """told: its result.json. maps: of its classes, in their order."""

    run: PlannedRun
    folder: Path
    told: dict[str, Any]
    maps: tuple[EndedMap, ...]

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def verdict(self) -> str:
        return str(self.told.get("verdict"))

    @property
    def converged(self) -> bool:
        return Run(self.folder, self.verdict, self.folder, None).converged

    @property
    def symmetry(self) -> str:
        """What was imposed on its maps."""
        return str(self.told.get("symmetry") or self.told.get("settings", {}).get("symmetry"))

    @property
    def resolution_angstrom(self) -> float | None:
        """The coarsest that it claims of any class; None where it claims none for one of them."""
        found = [each.resolution_angstrom for each in self.maps]
        claimed = [each for each in found if each is not None]
        return max(claimed) if claimed and len(claimed) == len(found) else None

    @property
    def evidence(self) -> dict[str, Any]:
        """Criteria of the verdict by name."""
        return {each["name"]: each["value"] for each in self.told.get("evidence", [])}

    @cached_property
    def stack(self) -> ParticleStack:
        """Its particles with their poses; raises BadDataError where the table is damaged."""
        places = (self.folder, self.folder / NOT_CONVERGED)
        table = next((p for p in places if (p / "particles.star").is_file()), self.folder)
        return read_particles_of_any_kind(table / "particles.star")

    def members(self, stack: ParticleStack) -> Int[np.ndarray, " n"]:
        """Which of `maps` each of these particles is in; -1: in none."""
        if self.run.classes == 1:
            return np.zeros(len(stack), dtype=np.int64)
        if stack.classes is None:
            fix = "give the table that the run wrote"
            raise BadDataError("no classes", file=stack.source, column="rlnClassNumber", fix=fix)
        return stack.classes.number.numpy()


def read_ended(campaign: Campaign, run: PlannedRun) -> EndedRun:
    """Raises BadDataError where its result.json is damaged."""
    folder = campaign.folder_of(run)
    told = read_result(folder)
    if run.classes == 1:
        maps = [_map_in(folder, told)]
    else:
        classes = told.get("classes", [])
        maps = [_map_in(folder / each["folder"], each) for each in classes]
    return EndedRun(run, folder, told, tuple(maps))


def _map_in(folder: Path, told: dict[str, Any]) -> EndedMap:
    place = folder if (folder / "map.mrc").exists() else folder / NOT_CONVERGED
    return EndedMap(place, (told.get("resolution_angstrom") or {}).get("fsc_0.143"))
