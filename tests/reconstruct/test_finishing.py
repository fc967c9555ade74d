"""What a run ends in: maps as fine as their halves, poses in the order of the stack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.io.mrc import read_map
from cryospin.io.relion import read_particles
from cryospin.particles.diameter import particle_size
from cryospin.particles.prepare import prepare_particles
from cryospin.poses import Assignment
from cryospin.reconstruct.exploration_report import ExplorationReport
from cryospin.reconstruct.finishing import believable, finished, gathered_poses
from cryospin.reconstruct.ready import Ready
from cryospin.reconstruct.request import Request
from cryospin.refine.halves import HalfSet
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf
from cryospin.types import Poses
from cryospin.volumes.masks import soft_mask
from phantoms import Blobs, PlantedParticles

PIXEL = 5.0


@pytest.mark.parametrize("seed", range(3))
def test_the_map_keeps_the_detail_of_its_halves(tmp_path: Path, seed: int) -> None:
    """At the true poses. The particle fills an eighth of its support: a filter by the FSC there,
    which the solvent's noise brings down, took detail that either half still shows."""
    count, box, snr = 1000, 48, 0.05
    poses = draw_poses(count, max_shift_pixel=0, pixel_size_angstrom=PIXEL, seed=seed)
    microscope = Microscope(box, PIXEL, snr, draw_ctf(count, seed=seed), seed=seed)
    simulate(chain_molecule(seed), poses, microscope, tmp_path)
    stack = read_particles(tmp_path / "particles.star")
    half_set = np.arange(count) % 2 + 1
    particles = prepare_particles(stack)
    halves = []
    for number in (1, 2):
        rows = np.flatnonzero(half_set == number)
        known = Assignment.known(poses.rotations[rows].float(), torch.zeros(len(rows), 2))
        halves.append(HalfSet(particles.select(rows), known))
    size, setting = particle_size(stack, 0, 0.0), Setting(torch.eye(3)[None], 0.0)
    ready = Ready(stack, half_set, size, Request(), setting)
    result = finished(ready, (halves[0], halves[1]), [], ExplorationReport(agreed=False))
    truth = read_map(tmp_path / "truth.mrc")
    mask = soft_mask(truth).values
    whole, first, second = (
        fourier_shell_correlation(m.values * mask, truth.values * mask)
        for m in (result.map, result.half1, result.half2)
    )
    better = torch.maximum(first, second)
    shown = better > 0.4
    assert shown.sum() > 15
    assert (whole - better)[shown].min() > -0.01


def test_poses_are_in_the_order_of_the_stack_and_in_angstrom() -> None:
    blobs = Blobs.random(1, spread=3.0)
    halves = [
        PlantedParticles.of(blobs, FourierDisk.of(16), count, count, signal=1.0).half_set(0.0, 2.0)
        for count in (3, 2)
    ]
    half_set = np.array([1, 2, 1, 1, 2])
    found = gathered_poses((halves[0], halves[1]), half_set, 2.0)
    for number, half in enumerate(halves, 1):
        own = found.select(torch.as_tensor(np.flatnonzero(half_set == number)))
        assert torch.equal(own.rotations, half.rotations)
        assert torch.equal(own.shifts_angstrom, 2.0 * half.shifts_pixel)
        assert torch.equal(own.confidence, half.confidence)


@pytest.mark.parametrize(("believed", "mean"), [(0.3, 0.3), (0.6, 0.6), (0.9, 0.8)])
def test_confidences_are_as_many_as_are_believed(believed: float, mean: float) -> None:
    poses = Poses(torch.eye(3).repeat(2, 1, 1), torch.zeros(2, 2), torch.tensor([0.6, 1.0]))
    found = believable(poses, believed)
    assert float(found.confidence.mean()) == pytest.approx(mean)
    assert float(found.confidence[0] / found.confidence[1]) == pytest.approx(0.6)
    assert torch.equal(found.rotations, poses.rotations)
