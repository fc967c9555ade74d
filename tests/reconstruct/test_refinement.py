"""The alternation of maps and poses, and the curves that steer it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.shell_curve import ShellCurve
from cryospin.reconstruct.refinement import (
    AlternatingRefinement,
    half_set_fsc,
    median_turn_degrees,
    prior_of,
    solvent_flattened,
    unfiltered_map,
)
from cryospin.refine.assign import GlobalAssignment
from cryospin.refine.halves import HalfSet, sums_of
from cryospin.rotations.grid import OrientationGrid
from cryospin.volumes.gridded import spherical_support, support_sphere
from cryospin.volumes.volume_shells import shell_means
from phantoms import (
    Blobs,
    PlantedParticles,
    angles_degrees,
    disk_coefficients,
    in_memory,
    random_turns,
)

BOX = 32
DISK = FourierDisk.of(BOX)
BLOBS = Blobs.random(1, spread=3.5, sigma=1.0)
IDENTITY = torch.eye(3)[None]
SETTING = Setting(IDENTITY, 1.0)
METHOD = AlternatingRefinement(first_radius=8.0)
ASSIGNMENT = GlobalAssignment(OrientationGrid.of(3, 18), hypotheses=2)


def planted(seed: int, count: int = 300, signal: float = 200.0) -> PlantedParticles:
    return PlantedParticles.of(BLOBS, DISK, count, seed, signal=signal)


def of_noise(half: HalfSet, seed: int) -> HalfSet:
    noise = disk_coefficients(len(half.particles), DISK, seed).to(torch.complex64)
    return replace(half, particles=replace(in_memory(half.particles), coefficients=noise))


def test_median_turn() -> None:
    """Float32 rotations: a cosine loses angles below 0.05 degrees."""
    before = planted(1, 40).half_set()
    turned = before.with_poses(
        rotations=random_turns(40, 5, degrees=2.0).float() @ before.rotations
    )
    assert median_turn_degrees((before, before), (turned, turned)) == pytest.approx(2.0, abs=0.01)
    assert median_turn_degrees((before, before), (before, before)) < 0.05


def test_prior_is_scheres() -> None:
    """Equation of 1/tau^2 = sum of CTF^2 / SSNR: at FSC 0.5 the prior weighs as the data."""
    sums = sums_of(planted(1, 50).half_set(), 6.0, IDENTITY)
    mean = shell_means(sums.denominator, 7)
    half = prior_of(sums, ShellCurve(torch.full((7,), 0.5)))
    torch.testing.assert_close(half, mean)
    good = prior_of(sums, ShellCurve(torch.full((7,), 0.9)))
    torch.testing.assert_close(good, mean / 9)
    # nothing agrees, or less than nothing: never negative, never infinite
    none = prior_of(sums, ShellCurve(torch.tensor([1.0, 0.0, -0.5, 0.0, 0.0, 0.0, 0.0])))
    assert torch.isfinite(none).all() and (none[1:] > 100 * mean[1:]).all() and none[0] > 0


def test_half_set_fsc_of_like_and_unlike() -> None:
    first, second = planted(1, 100).half_set(), planted(2, 100).half_set()
    support = support_sphere(BOX, 10.0, 0.42)
    sums = [sums_of(half, 10.0, IDENTITY) for half in (first, second, of_noise(first, 3))]
    same = half_set_fsc((sums[0], sums[0]), 10.0, BOX, support)
    assert len(same) == 11
    torch.testing.assert_close(same.values, torch.ones_like(same.values))
    assert half_set_fsc((sums[0], sums[1]), 10.0, BOX, support).values[:8].min() > 0.9
    assert half_set_fsc((sums[1], sums[2]), 10.0, BOX, support).values[3:].abs().mean() < 0.3


def test_support_holds_the_radius() -> None:
    support = support_sphere(BOX, 9.3, 0.42)
    assert support.shape == (24, 24, 24)
    assert support_sphere(BOX, 40.0, 0.42).shape[-1] == BOX


@pytest.mark.parametrize("grid", [32, 48, 96])
@pytest.mark.parametrize("seed", range(3))
def test_solvent_is_flattened_and_the_particle_is_not(grid: int, seed: int) -> None:
    """Dense or dark, on coarser and finer grids than the mask is drawn on."""
    particle = Blobs.random(seed, spread=3.5, sigma=1.2).density(grid, BOX).float()
    support = spherical_support(grid, 0.42 * grid, 0.07 * grid)
    noise = 0.3 * particle.std() * torch.randn(grid, grid, grid, generator=torch.manual_seed(seed))
    noisy = (particle + noise) * support
    flattened = solvent_flattened(noisy, support, 4.0 * BOX)
    outside = particle < 1e-3 * particle.max()
    assert flattened[outside].square().sum() < 0.5 * noisy[outside].square().sum()
    cut = (noisy - flattened)[particle > 0.1 * particle.max()]
    assert cut.square().sum() < 1e-3 * particle.square().sum()
    torch.testing.assert_close(solvent_flattened(-noisy, support, 4.0 * BOX), -flattened)


def test_what_does_not_stand_out_is_left() -> None:
    """No mask is drawn around noise."""
    support = support_sphere(BOX, 14.0, 0.42)
    noise = support * torch.randn(support.shape, generator=torch.manual_seed(1))
    left = solvent_flattened(noise, support, 4.0 * BOX)
    assert left.square().sum() > 0.7 * noise.square().sum()


def test_unfiltered_map_ignores_empty_places() -> None:
    sums = sums_of(planted(1, 3).half_set(), 8.0, IDENTITY)
    assert torch.isfinite(unfiltered_map(sums, 8.0, BOX, 20)).all()


def test_poses_and_maps_sharpen_each_other() -> None:
    first, second = planted(1), planted(2)
    halves = first.half_set(off_degrees=5.0, off_pixel=0.5), second.half_set(5.0, 0.5)
    told: list[tuple[int, int]] = []
    found, reports = METHOD.run(
        halves,
        SETTING,
        ASSIGNMENT,
        lambda done, total, *_: told.append((done, total)),
    )
    for half, truth in zip(found, (first, second), strict=True):
        error = angles_degrees(half.rotations, truth.rotations)
        assert error.median() < 1.2, "from 5 degrees"
        assert (half.shifts_pixel - truth.shifts_pixel).norm(dim=1).median() < 0.1, "from 0.5 px"
    radii = [report.radius for report in reports]
    assert radii == sorted(radii) and radii[-1] == DISK.radius
    assert all(report.radius <= report.limit + METHOD.headroom + 1e-6 for report in reports)
    assert reports[-1].limit > reports[0].limit
    assert told == [(i + 1, METHOD.most_rounds) for i in range(len(reports))]
    # the noise was unit to begin with, and is found to be
    noise = found[0].particles.noise_power
    assert (noise[0, 3:] - 1).abs().max() < 0.1


@pytest.mark.parametrize("powers", [(1.0, 4.0), (4.0, 1.0), (2.0, 2.0)])
def test_each_half_is_whitened_by_its_own_noise(powers: tuple[float, float]) -> None:
    """Noise of the power told, thought to be 1. A spectrum taken of both halves would be off by
    their difference."""
    halves = []
    for seed, power in enumerate(powers, 1):
        half = planted(seed).half_set(off_degrees=2.0)
        more = (power - 1) ** 0.5 * disk_coefficients(300, DISK, seed + 10)
        own = in_memory(half.particles)
        images = replace(own, coefficients=own.coefficients + more.to(torch.complex64))
        halves.append(replace(half, particles=images))
    method = replace(METHOD, most_rounds=3, noise_rounds=(1,))
    found, _ = method.run((halves[0], halves[1]), SETTING, ASSIGNMENT)
    for half, power in zip(found, powers, strict=True):
        assert (half.particles.noise_power[0, 3:] / power - 1).abs().max() < 0.12
        # and the transfer function, in units of that noise
        ctf = planted(1 if half is found[0] else 2).particles.ctf
        ratio = (in_memory(half.particles).ctf / ctf)[:, len(DISK) // 2 :].nanmedian()
        assert ratio == pytest.approx(power**-0.5, rel=0.06)


def test_unsure_particles_are_looked_for_again() -> None:
    """A fifth of each half starts at random poses and says so: it is found."""
    truths = planted(1), planted(2)
    lost = torch.arange(300) < 60
    halves = []
    for truth in truths:
        half = truth.half_set(off_degrees=2.0)
        rotations = torch.where(lost[:, None, None], random_turns(300, 9).float(), half.rotations)
        halves.append(half.with_poses(rotations=rotations, confidence=torch.where(lost, 0.3, 1.0)))
    found, _ = METHOD.run((halves[0], halves[1]), SETTING, ASSIGNMENT)
    for half, truth in zip(found, truths, strict=True):
        error = angles_degrees(half.rotations, truth.rotations)[lost]
        assert error.median() < 2.0
        assert (error < 10).double().mean() > 0.8


def test_is_reproducible() -> None:
    method = replace(METHOD, most_rounds=3)
    ends = []
    for _ in range(2):
        halves = planted(1, 60).half_set(3.0, 0.3), planted(2, 60).half_set(3.0, 0.3)
        ends.append(method.run(halves, SETTING, ASSIGNMENT)[0])
    for first, second in zip(*ends, strict=True):
        assert torch.equal(first.rotations, second.rotations)
        assert torch.equal(first.shifts_pixel, second.shifts_pixel)


def test_noise_does_not_agree_with_noise() -> None:
    """Random images at random poses: two maps of noise must not talk each other up."""
    halves = (
        of_noise(planted(1, 200).half_set(), 11),
        of_noise(planted(2, 200).half_set(), 12),
    )
    method = replace(METHOD, most_rounds=6)
    _, reports = method.run(halves, SETTING, ASSIGNMENT)
    assert max(report.limit for report in reports) < 6.0
    assert reports[-1].radius < 8.0
