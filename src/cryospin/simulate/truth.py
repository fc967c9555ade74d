"""What a simulated data set tells of itself: tables, and a true map of each structure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cryospin.io.mrc import write_map
from cryospin.io.record import is_ours
from cryospin.io.relion import new_particles
from cryospin.io.star import StarFile
from cryospin.io.star_writer import write_star
from cryospin.io.truth import (
    CONFORMATION,
    HINGE_ANGLE,
    JUNK,
    TRUE_MAP,
    class_map_name,
    conformation_map_name,
)
from cryospin.optics import CtfParameters, Optics
from cryospin.simulate.junk import junk_kind
from cryospin.simulate.mixture import Mixture
from cryospin.types import DensityMap, Poses

PARTICLES_PER_MICROGRAPH = 100


@dataclass(frozen=True)
class Truth:
    """All there is to tell. seed: of the junk."""

    mixture: Mixture
    poses: Poses
    ctf: CtfParameters
    box: int
    pixel_size_angstrom: float
    seed: int


def map_names(mixture: Mixture) -> tuple[str, ...]:
    """Of each structure's map."""
    numbers = range(1, len(mixture.molecules) + 1)
    if mixture.angles_degrees is not None:
        return tuple(map(conformation_map_name, numbers))
    return tuple(map(class_map_name, numbers)) if len(numbers) > 1 else (TRUE_MAP,)


def write_truth(out: Path, truth: Truth) -> None:
    """Maps, truth.star and, last, particles.star, which knows no pose and no class."""
    names = map_names(truth.mixture)
    for stale in out.glob("truth*.mrc"):
        if stale.name not in names and is_ours(stale):
            stale.unlink()
    for name, molecule in zip(names, truth.mixture.molecules, strict=True):
        density = torch.from_numpy(molecule.voxelize(truth.box, truth.pixel_size_angstrom))
        write_map(out / name, DensityMap(density, truth.pixel_size_angstrom))
    write_star(out / "truth.star", _table(truth, known=True))
    write_star(out / "particles.star", _table(truth, known=False))


def _table(truth: Truth, *, known: bool) -> StarFile:
    """An optics group for each microscope found among the CTFs."""
    ctf, count = truth.ctf, len(truth.poses)
    settings = torch.stack(
        [ctf.voltage_kv, ctf.spherical_aberration_mm, ctf.amplitude_contrast], dim=1
    )
    distinct, group = torch.unique(settings, dim=0, return_inverse=True)
    optics = tuple(
        Optics(f"opticsGroup{number}", truth.pixel_size_angstrom, *values)
        for number, values in enumerate(distinct.tolist(), start=1)
    )
    star = new_particles(
        [f"{number:06d}@particles.mrcs" for number in range(1, count + 1)],
        optics,
        truth.box,
        group.numpy(),
        ctf,
        truth.poses if known else None,
        [f"simulated_{i // PARTICLES_PER_MICROGRAPH + 1:05d}.mrc" for i in range(count)],
        classes=truth.mixture.classes if known and not truth.mixture.plain else None,
    )
    particles = star.blocks["particles"]
    more = _columns(truth) if known else {}
    block = particles.with_table(particles.columns | more)
    return StarFile(star.blocks | {"particles": block})


def _columns(truth: Truth) -> dict[str, list[str]]:
    """What RELION has no name for."""
    shown, angles = truth.mixture.shown, truth.mixture.angles_degrees
    columns = {}
    if angles is not None:
        turned = np.append(angles, 0.0)[shown]  # of junk, which is -1: the last
        columns[CONFORMATION] = [str(number + 1) for number in shown.tolist()]
        columns[HINGE_ANGLE] = [f"{angle:.6f}" for angle in turned.tolist()]
    if truth.mixture.junk:
        columns[JUNK] = [
            junk_kind(truth.seed, i) if structure < 0 else "none"
            for i, structure in enumerate(shown.tolist())
        ]
    return columns
