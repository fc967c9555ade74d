"""A converged run's particles, poses, half-sets and mask, as variability needs them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from cryospin.errors import BadDataError
from cryospin.io.formats import poses_of, read_particles_of_any_kind, with_columns_of
from cryospin.io.mrc import read_map
from cryospin.io.run_folder import NOT_CONVERGED
from cryospin.particles.contrast import inverted
from cryospin.report.inputs import read_result
from cryospin.types import DensityMap, ParticleStack, Poses

_RUN = "give a folder that `cryospin reconstruct` wrote"


@dataclass(frozen=True)
class FinishedRun:
    """stack: in the sign the run used, protein bright. half_set: 1 or 2 for each particle."""

    folder: Path
    result: dict[str, Any]
    stack: ParticleStack
    poses: Poses
    half_set: Int[np.ndarray, " n"]
    mask: DensityMap

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every file that was read, or will be."""
        return (self.folder / "result.json", self.folder / "mask.mrc", *self.stack.inputs)


def read_finished_run(folder: Path) -> FinishedRun:
    """What `folder` holds; images are read later, but must be there.

    Raises
    ------
    BadDataError: no run, one that did not converge, a table without poses or half-sets, images
        that are not where they were.
    """
    result = read_result(folder)
    if not (folder / "map.mrc").is_file():
        raise _without_map(folder)
    stack = _with_images(folder, result)
    poses = poses_of(stack)
    half_set = stack.half_set
    if half_set is None or {*np.unique(half_set)} != {1, 2}:
        raise BadDataError(
            "half-sets are missing",
            file=stack.source,
            column="rlnRandomSubset",
            fix="give the run's own table, with particles of half-sets 1 and 2",
        )
    if result.get("settings", {}).get("screening", {}).get("contrast_inverted"):
        stack = inverted(stack)
    return FinishedRun(folder, result, stack, poses, half_set, read_map(folder / "mask.mrc"))


def _without_map(folder: Path) -> BadDataError:
    """The error for a run that has no map of its own, by what it has instead."""
    problem, fix = "the run has no map", _RUN
    if (folder / NOT_CONVERGED).is_dir():
        problem, fix = f"{problem}: it did not converge", "docs/when-not-converged.md may help"
    elif classes := sorted(folder.glob("class_*/map.mrc")):
        problem, fix = f"{problem} but those of its classes", f"give {classes[0].parent}"
    return BadDataError(problem, file=folder / "map.mrc", fix=fix)


def _with_images(folder: Path, result: dict[str, Any]) -> ParticleStack:
    """The run's particles with its poses, from the table it was made from, which says where the
    images are; where that is gone, from the run's own."""
    native = folder / "particles.cs"  # of a cryoSPARC table the .cs alone knows the images' sign
    own = read_particles_of_any_kind(native if native.is_file() else folder / "particles.star")
    source = Path(str(result.get("settings", {}).get("particles", "")))
    stack = with_columns_of(read_particles_of_any_kind(source), own) if source.is_file() else own
    for file in stack.files:
        if not file.is_file():
            fix = f"put the images, or the table {source}, back where the run found them"
            raise BadDataError("no such file", file=file, fix=fix)
    return stack
