"""Two runs of the same particles, or of two samples, held against each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryospin.errors import BadDataError
from cryospin.evaluate.maps import map_summary
from cryospin.evaluate.poses import match_particles, pose_summary
from cryospin.io.formats import poses_of, read_particles_of_any_kind
from cryospin.io.mrc import read_map
from cryospin.io.run_folder import NOT_CONVERGED
from cryospin.types import DensityMap
from cryospin.volumes.alignment import align_maps, apply_alignment
from cryospin.volumes.resample import resample


@dataclass(frozen=True)
class Comparison:
    """moved: the second run's map laid upon the first one's, on its voxels. maps: as
    `evaluate.maps.map_summary` tells of the two. poses: as `evaluate.poses.pose_summary`, of the
    particles that both have, the first run's errors if the second one's were true. None stands
    for what could not be compared; `problems` has a sentence for each.
    """

    moved: DensityMap | None
    maps: dict[str, Any] | None
    poses: dict[str, Any] | None
    problems: tuple[str, ...]


def compare_runs(first: Path, second: Path, symmetry: str = "C1") -> Comparison:
    """symmetry: of both: poses that it makes equal count as equal."""
    problems: list[str] = []
    one, other = _place(first), _place(second)
    moved, maps = None, None
    try:
        moved, maps = _maps(one / "map.mrc", other / "map.mrc")
    except (BadDataError, OSError) as error:
        problems.append(f"The maps are not compared: {error}")
    poses = None
    try:
        poses = _poses(one / "particles.star", other / "particles.star", symmetry)
    except (BadDataError, OSError) as error:
        problems.append(f"The poses are not compared: {error}")
    return Comparison(moved, maps, poses, tuple(problems))


def _place(folder: Path) -> Path:
    """Where a run keeps its maps and tables."""
    apart = folder / NOT_CONVERGED
    return apart if apart.is_dir() and not (folder / "map.mrc").exists() else folder


def _maps(first: Path, second: Path) -> tuple[DensityMap, dict[str, Any]]:
    reference = read_map(first)
    other = resample(read_map(second), reference.box, reference.pixel_size_angstrom)
    alignment = align_maps(other, reference)
    mask = first.with_name("mask.mrc")
    summary = map_summary(
        reference, other, read_map(mask) if mask.exists() else None, alignment=alignment
    )
    return apply_alignment(other, alignment), summary


def _poses(first: Path, second: Path, symmetry: str) -> dict[str, Any]:
    one, other = match_particles(*map(read_particles_of_any_kind, (first, second)))
    return pose_summary(poses_of(one), poses_of(other), one.pixel_size_angstrom, symmetry)
