"""The encoder stage: the winner's step, the order of images, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from cryospin.explore.setting import Setting
from cryospin.explore.winner_search import EncoderState, WinnerSearch, _inner_product
from cryospin.fourier.disk import FourierDisk
from cryospin.volumes.gridded import map_to_volume
from phantoms import Blobs, PlantedParticles, random_turns

COUNT = 60
PLANTED = PlantedParticles.of(
    Blobs.random(1, spread=3.0), FourierDisk.of(32), COUNT, 2, signal=50.0, largest_shift=1.0
)
SMALL = WinnerSearch(heads=2, batch=20, width=32, march=10, random_images=30)


def state(search: WinnerSearch = SMALL, shift_range: float = 1.0, seed: int = 0) -> EncoderState:
    setting = Setting(torch.eye(3)[None], shift_range, support_radius=0.4, seed=seed)
    return EncoderState(search, PLANTED.particles, np.arange(COUNT), setting)


def test_the_scalar_has_the_wanted_gradient() -> None:
    """Moving R to exp([w]) R and t to t + tau changes it by the wanted (omega, d) . (w, tau)."""
    generator = torch.Generator().manual_seed(0)
    wanted = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    rotations = random_turns(4, 1)
    shifts = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    move = torch.randn(4, 5, generator=generator, dtype=torch.float64)

    def value(step: float) -> torch.Tensor:
        turned = roma.rotvec_to_rotmat(step * move[:, :3]) @ rotations
        # the tangent is a constant: the one at the unmoved rotations
        omega = wanted[:, :3, None].expand(-1, -1, 3)
        tangent = 0.5 * torch.linalg.cross(omega, rotations, dim=1)
        return (
            (tangent * turned).sum() + (wanted[:, 3:] * (shifts + step * move[:, 3:])).sum()
        ) / 4

    slope = (value(1e-5) - value(-1e-5)) / 2e-5
    torch.testing.assert_close(slope, (wanted * move).sum() / 4, atol=1e-8, rtol=1e-8)
    at = rotations.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(_inner_product(wanted, at, shifts), at)
    omega = wanted[:, :3, None].expand(-1, -1, 3)
    torch.testing.assert_close(gradient, 0.5 * torch.linalg.cross(omega, rotations, dim=1) / 4)


def test_every_image_has_its_turn_before_one_has_two() -> None:
    training = state()
    drawn = torch.cat([training._next_rows() for _ in range(COUNT // SMALL.batch)])
    assert sorted(drawn.tolist()) == list(range(COUNT))


def test_the_radius_marches_and_stays() -> None:
    assert SMALL.schedule(0) == (SMALL.first_radius, SMALL.first_forgetting)
    radius, forgetting = SMALL.schedule(10 * SMALL.march)
    assert radius == SMALL.last_radius and forgetting == pytest.approx(SMALL.last_forgetting)


def test_the_same_seed_gives_the_same_encoder() -> None:
    one, other = state(), state()
    for training in (one, other):
        for _ in range(3):
            training.step()
    assert torch.equal(one.sums.numerator, other.sums.numerator)
    rows = torch.arange(COUNT)
    assert torch.equal(one.hypotheses(rows).rotations, other.hypotheses(rows).rotations)
    different = state(seed=1)
    assert not torch.equal(different.sums.numerator, one.sums.numerator)


def test_centred_particles_are_not_asked_to_move() -> None:
    training = state(shift_range=0.0)
    training.step()
    assert torch.equal(training.hypotheses(torch.arange(5)).shifts_pixel, torch.zeros(5, 2, 2))


def test_the_encoder_learns_poses_of_a_map_it_is_given() -> None:
    """With the map held at the truth, winners fit images better step by step."""
    search = replace(SMALL, heads=4, batch=COUNT, width=128, first_radius=5.0, last_radius=6.0)
    training = state(search)
    density = Blobs.random(1, spread=3.0).density(len(training.map.support), 32).float()
    truth = map_to_volume(density, 32, search.last_radius)
    training.volume = lambda: truth  # type: ignore[method-assign]
    rows = torch.arange(COUNT)

    def loss() -> float:
        found = training.hypotheses(rows)
        winners = training.scored(truth, rows, found.rotations, found.shifts_pixel, 5.0)
        return float(winners.loss.mean())

    before = loss()
    for _ in range(60):
        training.step()
    noise = len(PLANTED.particles.disk.prefix(5.0))
    # three quarters of what is not noise
    assert loss() - noise < 0.75 * (before - noise)
