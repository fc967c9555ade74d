"""Bounds that hold at their stated rate, and a search that ends where an exhaustive one does."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import roma
import torch
from torch import Tensor

from cryospin.explore.bounded_search import BoundedSearch, _Problem
from cryospin.explore.candidates import Candidates, Level
from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.kernels import margin_for, pose_losses
from cryospin.rotations.grid import VIEW_HALF_TURNS, OrientationGrid
from phantoms import Blobs, PlantedParticles, angles_degrees, random_turns

BOX = 32
DISK = FourierDisk.of(BOX, 12.0)
BLOBS = Blobs.random(4, count=20, spread=4.0, sigma=1.2)
VOLUME = BLOBS.volume(margin_for(DISK.radius), BOX).to(torch.complex64)


def setting(shift_range: float = 1.0) -> Setting:
    return Setting(torch.eye(3)[None], shift_range, support_radius=0.3)


@dataclass(frozen=True)
class Planted:
    truth: PlantedParticles
    problem: _Problem

    @classmethod
    def of(cls, count: int, seed: int, signal: float, largest_shift: float) -> Planted:
        truth = PlantedParticles.of(
            BLOBS, DISK, count, seed, signal=signal, largest_shift=largest_shift
        )
        return cls(truth, _Problem(VOLUME, truth.particles.images()))

    def losses(self, rotations: Tensor, shifts: Tensor, radius: float = DISK.radius) -> Tensor:
        """Of one pose per image."""
        images = self.truth.particles.images(radius)
        return pose_losses(VOLUME, images, rotations.float(), shifts.float())

    def run(self, search: BoundedSearch, shift_range: float = 1.0):
        images = self.truth.particles.images()
        return search.run(VOLUME, images, setting(shift_range), np.random.default_rng(0))


@pytest.mark.parametrize("signal", [3.0, 10.0])
@pytest.mark.parametrize("level", [Level(0.26, 1.0, 5.0), Level(0.13, 0.5, 8.0)])
def test_the_bound_keeps_the_cell_of_the_true_pose(signal: float, level: Level) -> None:
    """At 3 sigmas, 1 image in 50 may be lost at the most: 5 % of places in a cell are further
    from its centre than D allows for, and few of those have noise that adds to it."""
    count = 400
    planted = Planted.of(count, seed=3, signal=signal, largest_shift=1.0)
    rng = np.random.default_rng(1)
    # cells in which the true pose lies anywhere
    turns = torch.as_tensor(rng.uniform(-0.5, 0.5, (count, 3)) * level.side_radians)
    moves = torch.as_tensor(rng.uniform(-0.5, 0.5, (count, 2)) * level.side_pixel)
    truth = planted.truth
    centres = roma.rotvec_to_rotmat(turns) @ truth.rotations
    low = planted.losses(centres, truth.shifts_pixel + moves, level.radius)
    full = planted.losses(truth.rotations, truth.shifts_pixel)
    slack = planted.problem.slack(level, 3.0, rng)
    assert (low > full + slack).float().mean() <= 0.02
    # and it does exclude: most random poses of images with much signal
    if signal > 5:
        elsewhere = planted.losses(random_turns(count, 9), truth.shifts_pixel, level.radius)
        assert (elsewhere > full + slack).float().mean() > 0.3


def test_the_dive_is_an_upper_bound_of_the_least_loss() -> None:
    planted = Planted.of(20, seed=5, signal=6.0, largest_shift=0.0)
    levels = BoundedSearch().levels(setting(0.0), DISK)
    start = Candidates(
        planted.truth.rotations.float(), torch.zeros(20, 2), torch.arange(20), torch.zeros(20)
    )
    lowest = planted.problem.dive(start, levels)
    # Gauss-Newton would find nothing lower by more than what noise is fitted with
    assert (lowest > planted.losses(planted.truth.rotations, torch.zeros(20, 2)) - 10).all()


def test_ends_where_an_exhaustive_search_of_the_finest_grid_does() -> None:
    planted = Planted.of(12, seed=7, signal=8.0, largest_shift=0.0)
    search = BoundedSearch(nside=2, in_plane=12, detail=1.0, most_candidates=32)
    best = planted.run(search, shift_range=0.0).best(12)
    fine = OrientationGrid.of(8, 48)
    every = (VIEW_HALF_TURNS[:, None] @ fine.base).reshape(-1, 3, 3)
    least = planted.problem.best_of_grid(every, torch.zeros(1, 2), DISK, 1)
    # grids differ by where their points lie: as good a loss to within a cell's loss
    finest = search.levels(setting(0.0), DISK)[-1].side_radians
    apart = angles_degrees(best.rotations, least.rotations)
    assert (apart < np.degrees(finest) + fine.spacing_degrees).all()


@pytest.mark.parametrize("shift_range", [0.0, 1.0])
def test_finds_planted_poses_to_the_finest_cell(shift_range: float) -> None:
    planted = Planted.of(40, seed=11, signal=40.0, largest_shift=shift_range)
    search = BoundedSearch()
    best = planted.run(search, shift_range).best(40)
    finest = search.levels(setting(shift_range), DISK)[-1]
    apart = angles_degrees(best.rotations, planted.truth.rotations)
    assert apart.median() < np.degrees(finest.side_radians)
    assert (best.shifts_pixel - planted.truth.shifts_pixel).abs().median() < 0.5
    torch.testing.assert_close(
        best.loss, planted.losses(best.rotations, best.shifts_pixel), rtol=1e-4, atol=1e-2
    )


def test_levels_halve_until_they_fit() -> None:
    wide = Setting(torch.eye(3)[None], 3.0, support_radius=0.4)
    levels = BoundedSearch(detail=0.5).levels(wide, FourierDisk.of(64, 20.0))
    sides = [level.side_radians for level in levels]
    assert all(a == 2 * b for a, b in zip(sides, sides[1:], strict=False))
    assert sides[-1] <= 0.5 / (2 * 0.4 * 20.0) < sides[-2]
    radii = [level.radius for level in levels]
    assert radii == sorted(radii) and radii[-1] == 20.0


def test_one_level_where_the_first_grid_fits() -> None:
    levels = BoundedSearch(detail=8.0).levels(setting(0.0), FourierDisk.of(64, 6.0))
    assert len(levels) == 1 and levels[0].radius == 6.0


def test_an_image_without_signal_still_gets_a_pose() -> None:
    planted = Planted.of(3, seed=2, signal=0.0, largest_shift=0.0)
    nothing = replace(planted.truth.particles, ctf=torch.zeros(3, len(DISK)))
    planted = Planted(
        replace(planted.truth, particles=nothing),
        replace(planted.problem, images=nothing.images()),
    )
    best = planted.run(BoundedSearch(nside=2, in_plane=12), 0.0).best(3)
    assert best.image.tolist() == [0, 1, 2] and torch.isfinite(best.loss).all()
