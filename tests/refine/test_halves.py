"""One half-set: its map at given poses, its poses at a given map, its noise."""

from __future__ import annotations

import pytest
import torch

from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.refine.halves import HalfSet, refine_half, residual_noise, rewhitened, sums_of
from cryospin.rotations.symmetry import symmetry_group
from cryospin.volumes.gridded import map_of, spherical_support
from phantoms import Blobs, PlantedParticles, angles_degrees, in_memory

BOX, RADIUS = 32, 10.0
DISK = FourierDisk.of(BOX, 12.0)
BLOBS = Blobs.random(1, spread=3.5, sigma=1.2)
SUPPORT = spherical_support(28, 11.5, 2.0)
IDENTITY = torch.eye(3)[None]
WEAK_PRIOR = torch.full((15,), 1e-3)


@pytest.fixture(scope="module")
def planted() -> PlantedParticles:
    return PlantedParticles.of(BLOBS, DISK, 500, seed=2, signal=300.0)


def solved(half: HalfSet) -> torch.Tensor:
    return map_of(sums_of(half, RADIUS, IDENTITY), WEAK_PRIOR, RADIUS, BOX, SUPPORT)


def agreement(density: torch.Tensor) -> torch.Tensor:
    return fourier_shell_correlation(density.double(), BLOBS.density(28, BOX) * SUPPORT)


def test_map_at_the_true_poses_is_the_object(planted: PlantedParticles) -> None:
    density = solved(planted.half_set())
    known = BLOBS.density(28, BOX)
    assert agreement(density)[:9].min() > 0.97
    assert float((density * known).sum() / known.square().sum()) == pytest.approx(1.0, abs=0.03)


def test_shifts_are_undone(planted: PlantedParticles) -> None:
    there = planted.half_set()
    elsewhere = there.with_poses(shifts_pixel=-there.shifts_pixel)
    # shells where a phase of a pixel matters
    assert agreement(solved(elsewhere))[5:9].mean() < agreement(solved(there))[5:9].mean() - 0.1


def test_the_prior_draws_towards_zero(planted: PlantedParticles) -> None:
    sums = sums_of(planted.half_set(), RADIUS, IDENTITY)
    norms = [
        float(map_of(sums, torch.full((15,), prior), RADIUS, BOX, SUPPORT).norm())
        for prior in (0.0, 1e5, 1e7, 1e11)
    ]
    assert norms[0] > norms[1] > norms[2] > 1e3 * norms[3]


def test_symmetric_sums_hold_every_equivalent(planted: PlantedParticles) -> None:
    half = planted.half_set()
    operators = symmetry_group("C3").float()
    together = sums_of(half, 6.0, operators)
    apart = [
        sums_of(half.with_poses(rotations=half.rotations @ operator), 6.0, IDENTITY)
        for operator in operators
    ]
    expected = apart[0] + apart[1] + apart[2]
    torch.testing.assert_close(together.numerator, expected.numerator, rtol=1e-4, atol=0.1)
    torch.testing.assert_close(together.denominator, expected.denominator, rtol=1e-4, atol=0.1)


def test_poses_come_back_to_the_truth(planted: PlantedParticles) -> None:
    density = solved(planted.half_set())
    start = planted.half_set(off_degrees=4.0, off_pixel=0.4)
    found = refine_half(start, density, RADIUS, GaussNewton(steps=6))
    error = angles_degrees(found.rotations, planted.rotations)
    # at this signal an image's information allows about a degree
    assert error.median() < 1.0 and error.quantile(0.9) < 2.0
    assert (found.shifts_pixel - planted.shifts_pixel).norm(dim=1).median() < 0.05
    assert found.particles is start.particles and found.confidence is start.confidence


def test_a_particles_pose_depends_on_its_own_image_alone(planted: PlantedParticles) -> None:
    density = solved(planted.half_set())
    start = planted.half_set(off_degrees=4.0, off_pixel=0.4)
    rows = torch.tensor([7, 400])
    alone = start.select(rows)
    method = GaussNewton(steps=3)
    some, all_ = (refine_half(half, density, RADIUS, method) for half in (alone, start))
    assert torch.equal(some.rotations, all_.rotations[rows])
    assert torch.equal(some.shifts_pixel, all_.shifts_pixel[rows])


def test_residuals_at_the_truth_are_the_noise() -> None:
    """1 in every shell: of 500 images a shell of 15 coefficients is known to 1.2 %; the map,
    made of the same images, has taken a few per cent of their noise out of the lowest shells
    and leaves the interpolation's error in."""
    half = PlantedParticles.of(BLOBS, DISK, 500, seed=2, signal=30.0).half_set()
    noise = residual_noise(half, solved(half), RADIUS)
    assert noise.shape == half.particles.noise_power.shape
    assert (noise[0, 4:] - 1).abs().max() < 0.08
    # beyond the radius nothing is predicted: what is there of the signal counts as noise
    assert (noise[0, 11:] - 1).abs().max() < 0.08


def test_noise_taken_too_low_is_told_by_group_and_shell() -> None:
    planted = PlantedParticles.of(BLOBS, DISK, 500, seed=3, signal=20.0, groups=2)
    half = planted.half_set()
    density = solved(half)
    shell = torch.as_tensor(DISK.shell).long()
    factor = torch.ones(2, 13)
    factor[1, 6:] = 4.0
    # the second group's images and CTFs come divided by half the noise they have
    particles = half.particles
    amplitude = factor.sqrt()[particles.optics_group][:, shell]
    in_memory(particles).coefficients.mul_(amplitude)
    in_memory(particles).ctf.mul_(amplitude)
    found = residual_noise(half, density, RADIUS)
    torch.testing.assert_close(found[:, 3:], factor[:, 3:].double(), rtol=0.08, atol=0)
    corrected = rewhitened(half, found)
    assert (residual_noise(corrected, density, RADIUS)[:, 1:] - 1).abs().max() < 1e-3
    torch.testing.assert_close(corrected.particles.noise_power, found.float())
    assert torch.equal(corrected.rotations, half.rotations)
