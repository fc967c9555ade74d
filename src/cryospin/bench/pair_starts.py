"""Whether a start helps: the same refinement of the same images, from poses of several origins."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.bench.ledger import Row
from cryospin.bench.pair_cases import PairCase, aligned, made
from cryospin.explore.exploration import Exploration, ExplorerProgress, unheard
from cryospin.explore.pairwise_start import PairwiseStart
from cryospin.explore.running_map import RunningMap
from cryospin.explore.setting import Setting
from cryospin.io.relion import read_particles
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.pairs.learned import LearnedSolver
from cryospin.particles.draws import generator_for
from cryospin.particles.source import ParticleSource
from cryospin.poses import Assignment
from cryospin.recipes import find_recipe
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.request import Request
from cryospin.rotations.sampling import random_rotations
from cryospin.types import ParticleStack
from cryospin.volumes.gridded import SliceSums

START_NAMES = ("random", "exhaustive", "common-lines", "pairwise", "true")
GOOD_DEGREES = 3.0


@dataclass(frozen=True)
class KnownPoses:
    """An explorer that has nothing to find: poses by the particles' names, `uids`."""

    uids: Sequence[str]
    rotations: Float[Tensor, "n 3 3"]
    shifts_pixel: Float[Tensor, "n 2"]
    last_radius: float = 12.0
    one_thread: bool = False

    def run(
        self,
        particles: ParticleSource,
        setting: Setting,
        progress: ExplorerProgress = unheard,
        journal: Journal = UNRECORDED,
    ) -> Exploration:
        """The map of all images at their poses."""
        row_of = {uid: row for row, uid in enumerate(self.uids)}
        rows = torch.tensor([row_of[uid] for uid in particles.uids])
        rotations, shifts = self.rotations[rows], self.shifts_pixel[rows]
        running = RunningMap.of(particles, self.last_radius, setting.support_radius)
        images = particles.images(self.last_radius)
        sums = SliceSums.of_images(images, rotations, shifts, running.margin, setting.operators)
        known = Assignment.known(rotations, shifts)
        return Exploration(sums, self.last_radius, (0.0,), 1.0, known.alone())


def started(name: str, case: PairCase, models: Path, folder: Path, weights: Path | None) -> Row:
    """One reconstruction, to the end whatever the halves think of each other's start."""
    data = made(case, models, folder)
    stack = read_particles(folder / case.label / "particles.star")
    truth = read_particles(folder / case.label / "truth.star").poses
    assert truth is not None
    rotations = truth.rotations.float()
    shifts = (truth.shifts_angstrom / stack.pixel_size_angstrom).float()
    if name == "random":
        rotations = random_rotations(len(stack), generator_for(case.seed, "random start"))
        shifts = torch.zeros_like(shifts)
    method = method_of(name, stack, rotations, shifts, weights)
    monitor = Monitor()
    began = time.perf_counter()
    shift = case.max_shift_pixel * stack.pixel_size_angstrom
    request = Request(seed=case.seed, symmetry=case.structure.symmetry, max_shift_angstrom=shift)
    result = method.run(stack, request, monitor)
    errors = aligned(
        result.poses.rotations, data.truth.rotations, case.structure.symmetry
    ).errors_degrees
    start = sum(monitor.seconds.get(stage, 0.0) for stage in ("explore", "assign", "join"))
    return {
        "start": name,
        "seed": case.seed,
        "median": float(errors.median()),
        "mean": float(errors.mean()),
        "success": bool(errors.median() < GOOD_DEGREES),
        "seconds_to_start": round(start, 1),
        "seconds": round(time.perf_counter() - began, 1),
    }


def method_of(
    name: str, stack: ParticleStack, rotations: Tensor, shifts: Tensor, weights: Path | None
) -> AbInitio:
    """The default's refinement behind one of `START_NAMES`."""
    if name in ("random", "true"):
        method = find_recipe("exhaustive")
        known = KnownPoses(stack.uids, rotations, shifts)
        starts = replace(method.starts, search=known, attempts=1, agreement_radius=0.0)
        return replace(method, starts=starts)
    method = find_recipe(name)
    if name != "pairwise":
        return method
    search = method.starts.search
    assert isinstance(search, PairwiseStart)
    learned = replace(search, solver=LearnedSolver(weights))
    return replace(method, starts=replace(method.starts, search=learned))
