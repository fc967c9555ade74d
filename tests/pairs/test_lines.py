"""From images to common lines: exact where images are, and what votes and offsets add."""

from __future__ import annotations

import numpy as np
import torch

from cryospin.fourier.disk import FourierDisk
from cryospin.pairs.centring import shifts_from_offsets
from cryospin.pairs.lines import filtered, polar_lines
from cryospin.pairs.matching import line_shifts, match_lines
from cryospin.pairs.planted import planted_common_lines
from cryospin.pairs.relations import CommonLines, all_pairs, true_common_lines, true_relations
from cryospin.pairs.voting import voted_relations
from phantoms import Blobs, PlantedParticles, random_turns

BOX = 32
DISK = FourierDisk.of(BOX, 12.0)
BLOBS = Blobs.random(4, count=20, spread=3.0, sigma=1.0)


def turned_by(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Degrees between directions, of each pair the worse of both images, modulo the half-turn
    of both."""
    off = found - true
    off = torch.remainder(off + torch.pi, 2 * torch.pi) - torch.pi
    other = torch.pi - off.abs()
    plain, half = (torch.maximum(x, x.T) for x in (off.abs(), other))
    return torch.rad2deg(torch.minimum(plain, half))


def upper(values: torch.Tensor) -> torch.Tensor:
    row, column = torch.triu_indices(len(values), len(values), 1)
    return values[row, column]


def test_lines_are_the_transform_along_them() -> None:
    """Against the closed form: the small image holds the disk whole."""
    rotations = random_turns(3, 1)
    lines = polar_lines(BLOBS.coefficients(rotations, DISK).to(torch.complex64), DISK, 8, 2.0, 10.0)
    angle = lines.angles[:, None]
    plane = torch.stack(
        [angle.cos() * lines.radii, angle.sin() * lines.radii, 0 * angle * lines.radii], dim=-1
    )
    exact = torch.stack([BLOBS.transform(plane @ r, BOX) for r in rotations])
    # what the disk cuts off is missing near its rim
    inner = lines.radii <= 8.0
    error = (lines.values - exact).abs()[..., inner].max()
    assert error < 0.02 * exact.abs()[..., inner].max()


def test_filtered_signal_has_unit_power_without_noise_and_the_ctfs_sign_goes() -> None:
    planted = PlantedParticles.of(BLOBS, DISK, 60, seed=1, signal=1e5, largest_shift=0.0)
    shells = int(DISK.shell.max()) + 1
    power = torch.ones(shells) * 0.1
    values = filtered(planted.particles, power, DISK)
    exact = BLOBS.coefficients(planted.rotations, DISK) / 0.1**0.5
    strong = planted.particles.ctf.abs() > 1e4
    torch.testing.assert_close(values[strong], exact.to(values)[strong], rtol=0.02, atol=0.02)


def test_noiseless_images_have_their_common_lines_found() -> None:
    rotations = random_turns(20, 2)
    values = BLOBS.coefficients(rotations, DISK).to(torch.complex64)
    # every shell alike, as filtering makes them
    values = values / values.abs().square().mean(dim=0).sqrt()
    found = match_lines(polar_lines(values, DISK, 60, 1.0, 12.0), 0.0)
    off = upper(turned_by(found.angles, true_common_lines(rotations).angles))
    assert (off < 6.0).float().mean() > 0.9
    assert off[off < 6.0].median() < 1.5
    assert found.weights.diagonal().abs().max() == 0 and found.offsets_pixel.abs().max() == 0


def test_offsets_are_those_of_the_shifts_and_give_them_back() -> None:
    rotations = random_turns(20, 2)
    shifts = torch.as_tensor(np.random.default_rng(1).uniform(-1.5, 1.5, (20, 2)))
    values = BLOBS.coefficients(rotations, DISK, shifts).to(torch.complex64)
    values = values / values.abs().square().mean(dim=0).sqrt()
    lines = match_lines(polar_lines(values, DISK, 60, 1.0, 12.0), 1.5)
    right = turned_by(lines.angles, true_common_lines(rotations).angles) < 6.0
    seen = (shifts[:, None] * torch.stack([lines.angles.cos(), lines.angles.sin()], -1)).sum(-1)
    error = (lines.offsets_pixel - (seen.T - seen)).abs()[right]
    assert upper(right).float().mean() > 0.7 and error.median() < 0.2
    found = shifts_from_offsets(lines, right.double() * all_pairs(20))
    # an origin of the map is no shift of any image
    rows = rotations[:, :2].reshape(-1, 3)
    difference = (found - shifts).reshape(-1)
    origin = torch.linalg.lstsq(rows, difference[:, None]).solution
    assert (difference - (rows @ origin)[:, 0]).abs().max() < 0.3


def test_shifts_of_lines_step_by_a_quarter_period() -> None:
    shifts = line_shifts(3.0, 10.0, 64)
    assert shifts[0] == -6.0 and shifts[-1] == 6.0
    assert 1.0 < float(shifts[1] - shifts[0]) <= 64 / 40
    assert line_shifts(0.0, 10.0, 64).tolist() == [0.0]


def test_votes_find_the_tilt_and_which_lines_are_right() -> None:
    rotations, lines = planted_common_lines(60, wrong=0.5, jitter_degrees=2.0, seed=3)
    true = true_common_lines(rotations)
    relations = voted_relations(lines)
    right = upper(turned_by(lines.angles, true.angles)) < 8.0
    weights = upper(relations.weights)
    assert weights[right].mean() > 5 * weights[~right].mean()
    row, column = torch.triu_indices(60, 60, 1)
    off = relations.blocks[row, column] - true_relations(rotations).blocks[row, column]
    assert off[right].abs().median() < 0.08


def test_votes_of_exact_lines_are_the_tilts() -> None:
    rotations = random_turns(30, 4)
    lines = true_common_lines(rotations)
    found = voted_relations(CommonLines(lines.angles, lines.weights))
    off = upper((found.blocks - true_relations(rotations).blocks).abs().amax(dim=(-1, -2)))
    # the middle of a bin of 3 degrees, or the one beside it
    assert off.max() < np.radians(4.6)
