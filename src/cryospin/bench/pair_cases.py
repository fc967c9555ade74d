"""Images of held-out molecules for orientations from pairs, simulated in real space, scored.

SNR is told in the full box and in the particle: the same images, as two conventions call them.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.bench.datasets import FILLED
from cryospin.bench.ledger import Row
from cryospin.bench.structures import Structure, model_file
from cryospin.evaluate.symmetry_axis import align_about_any_axis
from cryospin.io.atomic import atomic_path
from cryospin.io.relion import read_particles
from cryospin.pairs.common_lines import PairPoses
from cryospin.particles.draws import generator_for
from cryospin.particles.prepare import prepare_particles
from cryospin.particles.source import ParticleSource
from cryospin.particles.spectrum import signal_power
from cryospin.rotations.align import RotationAlignment
from cryospin.rotations.sampling import random_rotations
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.models import Molecule, read_model
from cryospin.simulate.poses import Views, draw_poses
from cryospin.simulate.transfer import draw_ctf, neutral_ctf
from cryospin.types import Poses

SUCCESS_DEGREES = 15.0
CLEAN = math.inf
_GAUGED = 32  # images from which the share of the signal in the particle is taken


@dataclass(frozen=True)
class PairCase:
    """What is simulated. snr_in_particle: within the disc of the particle; infinity: no noise."""

    structure: Structure
    particles: int = 500
    box: int = 64
    snr_in_particle: float = CLEAN
    max_shift_pixel: float = 0.0
    ctf: bool = True
    views: Views = "uniform"
    seed: int = 1

    @property
    def label(self) -> str:
        words = [self.structure.name.lower(), f"n{self.particles}", f"d{self.box}"]
        words.append(f"snr{self.snr_in_particle:g}")
        if self.max_shift_pixel:
            words.append(f"shift{self.max_shift_pixel:g}")
        if not self.ctf:
            words.append("noctf")
        if self.views != "uniform":
            words.append(self.views)
        return "_".join([*words, str(self.seed)])


@dataclass(frozen=True)
class PairData:
    """Images in memory and their truth."""

    particles: ParticleSource
    truth: Poses
    snr_in_box: float
    max_shift_pixel: float


def made(case: PairCase, models: Path, folder: Path) -> PairData:
    """The images of a case, simulated into `folder` unless they are there."""
    place = folder / case.label
    note = place / "snr.json"
    if not note.exists():
        molecule = read_model(model_file(case.structure.name, models), 3.0)
        pixel = round(molecule.radius_angstrom / (FILLED * case.box), 2)
        snr = math.inf
        if math.isfinite(case.snr_in_particle):
            snr = case.snr_in_particle / _snr_ratio(case, molecule, pixel, folder / "gauge")
        _simulated(case, molecule, pixel, snr, place)
        with atomic_path(note) as temporary:
            temporary.write_text(json.dumps({"snr_in_box": snr}))
    truth = read_particles(place / "truth.star").poses
    assert truth is not None, "simulate writes it"
    particles = prepare_particles(read_particles(place / "particles.star"), seed=case.seed)
    snr = json.loads(note.read_text())["snr_in_box"]
    return PairData(particles, truth, snr, case.max_shift_pixel)


def _simulated(case: PairCase, molecule: Molecule, pixel: float, snr: float, out: Path) -> float:
    """SNR in the particle."""
    poses = draw_poses(
        case.particles,
        max_shift_pixel=case.max_shift_pixel,
        pixel_size_angstrom=pixel,
        views=case.views,
        seed=case.seed,
    )
    ctf = draw_ctf(case.particles, case.seed) if case.ctf else neutral_ctf(case.particles)
    # what is without noise has some all the same: its spectrum is measured in the background
    microscope = Microscope(case.box, pixel, min(snr, 1e4), ctf, seed=case.seed)
    return simulate(molecule, poses, microscope, out).snr_in_particle


def _snr_ratio(case: PairCase, molecule: Molecule, pixel: float, out: Path) -> float:
    """SNR in the particle over that in the box."""
    few = replace(case, particles=_GAUGED)
    return _simulated(few, molecule, pixel, 1.0, out / few.label)


def solved(data: PairData, method: str, solver: object) -> tuple[PairPoses, float]:
    """Poses by a method and its seconds; `solver` is a `PairSolver`, or None for trivial ones."""
    began = time.perf_counter()
    count = len(data.particles)
    if solver is None:
        rotations = torch.eye(3).expand(count, 3, 3)
        if method == "random":
            rotations = random_rotations(count, generator_for(0, "random poses"))
        found = PairPoses(rotations, torch.zeros(count, 2), torch.zeros(count))
    else:
        power = signal_power(data.particles)
        found = solver.run(data.particles, power, data.max_shift_pixel)  # type: ignore[attr-defined]
    return found, time.perf_counter() - began


def scored(case: PairCase, data: PairData, found: PairPoses, seconds: float) -> Row:
    """Errors modulo rotation and hand (and the molecule's symmetry), deterministic."""
    alignment = aligned(found.rotations, data.truth.rotations, case.structure.symmetry)
    errors = alignment.errors_degrees
    lost = errors > SUCCESS_DEGREES
    return {
        "structure": case.structure.name,
        "seed": case.seed,
        "mean": float(errors.mean()),
        "median": float(errors.median()),
        "view": float(alignment.view_errors_degrees.median()),
        "in_plane": float(alignment.in_plane_errors_degrees.median()),
        "beyond_15": float(lost.double().mean()),
        "success": bool(errors.mean() < SUCCESS_DEGREES),
        "consistency": float(found.consistency.median()),
        "told_lost": told_apart(found.consistency, lost),
        "seconds": round(seconds, 2),
        "snr_in_box": data.snr_in_box,
        "snr_in_particle": case.snr_in_particle,
    }


def aligned(
    found: Float[Tensor, "n 3 3"], true: Float[Tensor, "n 3 3"], symmetry: str
) -> RotationAlignment:
    """Modulo rotation, hand and the symmetry, whose axis models have where they like."""
    return align_about_any_axis(found.double(), true.double(), symmetry)


def told_apart(score: Float[Tensor, " n"], lost: Tensor) -> float | None:
    """Chance that a lost image scores below one that is not (area under the ROC curve)."""
    low, high = score[lost].double(), score[~lost].double()
    if not len(low) or not len(high):
        return None
    below = (low[:, None] < high).double() + 0.5 * (low[:, None] == high).double()
    return float(below.mean())


def decibel(snr: float) -> float:
    return 10.0 * math.log10(snr) if math.isfinite(snr) else math.inf
