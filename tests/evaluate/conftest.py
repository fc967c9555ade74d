"""A run's folder and its truth, with errors that are known because they were put in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cryospin.io.mrc import write_map
from cryospin.io.relion import write_new_particles
from cryospin.optics import CtfParameters, Optics
from cryospin.rotations.symmetry import symmetry_group
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.projection import GaussianMolecule
from cryospin.types import DensityMap, Poses
from cryospin.volumes.alignment import MapAlignment, poses_after_alignment

BOX, PIXEL, COUNT = 32, 6.0, 400


@dataclass(frozen=True)
class PlantedRun:
    """noise: 1.5 degrees per axis, 0.3 Angstrom per shift axis; the first `lost` are random.

    alignment: from the frame of the truth to that of the run.
    """

    folder: Path
    truth_star: Path
    truth_map: Path
    alignment: MapAlignment
    lost: int


def write_table(path: Path, names: list[str], poses: Poses | None) -> None:
    count = len(names)

    def same(value: float) -> torch.Tensor:
        return torch.full((count,), value, dtype=torch.float64)

    ctf = CtfParameters(*(same(value) for value in (15000.0, 15000.0, 0.0, 0.0, 300.0, 2.7, 0.1)))
    optics = (Optics("one", PIXEL, 300.0, 2.7, 0.1),)
    write_new_particles(path, names, optics, BOX, np.zeros(count, dtype=np.int64), ctf, poses)


def density_of(molecule: GaussianMolecule) -> DensityMap:
    return DensityMap(torch.as_tensor(molecule.voxelize(BOX, PIXEL)), PIXEL)


def make_run(
    folder: Path, *, flipped: bool = False, symmetry: str = "C1", lost: int = 0, seed: int = 0
) -> PlantedRun:
    """Truth and run tables in different order; the run's maps are the moved truth's."""
    rng = np.random.default_rng(seed)
    names = [f"{number + 1:06d}@particles.mrcs" for number in range(COUNT)]
    true = Poses(
        torch.as_tensor(Rotation.random(COUNT, rng=rng).as_matrix()),
        torch.as_tensor(rng.normal(size=(COUNT, 2)) * 6.0),
        torch.ones(COUNT, dtype=torch.float64),
    )
    alignment = MapAlignment(
        torch.as_tensor(Rotation.random(rng=rng).as_matrix()),
        torch.as_tensor(rng.normal(size=3) * 5.0),
        flipped,
        1.0,
    )
    group = symmetry_group(symmetry)
    equivalents = group[torch.as_tensor(rng.integers(len(group), size=COUNT))]
    jitter = Rotation.from_rotvec(rng.normal(size=(COUNT, 3)) * 1.5, degrees=True).as_matrix()
    moved = poses_after_alignment(
        Poses(true.rotations @ equivalents, true.shifts_angstrom, true.confidence), alignment
    )
    rotations = torch.as_tensor(jitter) @ moved.rotations
    rotations[:lost] = torch.as_tensor(Rotation.random(max(lost, 1), rng=rng).as_matrix())[:lost]
    shifts = moved.shifts_angstrom + torch.as_tensor(rng.normal(size=(COUNT, 2)) * 0.3)
    run = folder / "run"
    run.mkdir()
    write_table(folder / "truth.star", names, true)
    order = rng.permutation(COUNT)
    estimated = Poses(rotations, shifts, true.confidence).select(torch.as_tensor(order))
    write_table(run / "particles.star", [names[i] for i in order], estimated)
    molecule = chain_molecule(seed, domains=5, residues_per_domain=60)
    write_map(folder / "truth.mrc", density_of(molecule))
    mirror = np.diag([1.0, 1.0, -1.0 if flipped else 1.0])
    positions = molecule.positions_angstrom @ (alignment.rotation.numpy() @ mirror).T
    placed = GaussianMolecule(
        positions + alignment.shift_angstrom.numpy(), molecule.weights, molecule.sigmas_angstrom
    )
    write_map(run / "map.mrc", density_of(placed))
    (run / "result.json").write_text(json.dumps({"verdict": "converged", "date": "2026-01-02"}))
    return PlantedRun(run, folder / "truth.star", folder / "truth.mrc", alignment, lost)


@pytest.fixture
def planted_run():
    return make_run


@pytest.fixture
def table_writer():
    return write_table
