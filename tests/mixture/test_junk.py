"""Junk: its likelihood in closed form, the evidence of a map, and which of the two is more."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import roma
import torch
from torch import Tensor

from cryospin.fourier.disk import FourierDisk
from cryospin.kernels import pose_losses
from cryospin.mixture.junk import junk_log_likelihoods, log_evidence
from cryospin.particles.spectrum import signal_power
from cryospin.poses import Assignment
from cryospin.refine.halves import HalfSet
from cryospin.volumes.gridded import map_to_volume
from phantoms import Blobs, PlantedParticles, in_memory

BOX, RADIUS, RANGE = 32, 10.0, 2.0
BLOBS = Blobs.random(4, spread=3.5, sigma=1.5)
DENSITY = BLOBS.density(BOX).float()


def planted(count: int, signal: float, seed: int = 3) -> HalfSet:
    return PlantedParticles.of(BLOBS, FourierDisk.of(BOX), count, seed, signal=signal).half_set()


def test_junk_is_a_gaussian_of_the_particles_spectrum() -> None:
    """One image, one coefficient at a time."""
    particles = in_memory(planted(20, 20.0).particles)
    found = junk_log_likelihoods(particles, RADIUS, torch.full((20,), 1e6))
    disk = particles.disk.prefix(RADIUS)
    power = signal_power(particles)
    for row in (0, 7):
        of_factors = []
        for factor in (0.0, 0.25, 1.0, 4.0, 16.0, 64.0):
            total = 0.0
            for k, shell in enumerate(disk.shell.tolist()):
                transfer = float(particles.ctf[row, k])
                variance = 1 + factor * transfer**2 * float(power[shell])
                total -= float(particles.coefficients[row, k].abs()) ** 2 / variance
                total -= math.log(variance)
            of_factors.append(total)
        expected = torch.logsumexp(torch.tensor(of_factors), dim=0) - math.log(6)
        assert float(found[row]) == pytest.approx(float(expected), abs=0.05)


def test_evidence_is_the_mean_likelihood_over_all_poses() -> None:
    """By importance sampling from a wide Gaussian about the pose: the rest of the poses have no
    likelihood to speak of."""
    half = planted(1, 60.0)
    volume = map_to_volume(DENSITY, BOX, RADIUS)
    count, turn, move = 60_000, 0.06, 0.15
    draws = torch.randn(count, 5, generator=torch.manual_seed(1))
    rotations = roma.rotvec_to_rotmat(turn * draws[:, :3]) @ half.rotations[0]
    shifts = half.shifts_pixel[0] + move * draws[:, 3:]
    every = torch.zeros(count, dtype=torch.long)
    losses = pose_losses(volume, half.particles.images(RADIUS), rotations, shifts, every)
    log_density = -0.5 * draws.square().sum(dim=1) - 2.5 * math.log(2 * math.pi)
    log_density = log_density - 3 * math.log(turn) - 2 * math.log(move)
    integral = torch.logsumexp(-losses - log_density, dim=0) - math.log(count)
    expected = integral - math.log(8 * math.pi**2) - 2 * math.log(2 * RANGE)
    polished = best_nearby(half, losses, rotations, shifts)
    found, loss = log_evidence(polished, DENSITY, RADIUS, RANGE)
    torch.testing.assert_close(loss[0], losses.min())
    assert float(found[0]) == pytest.approx(float(expected), abs=0.5)


def best_nearby(half: HalfSet, losses: Tensor, rotations: Tensor, shifts: Tensor) -> HalfSet:
    best = losses.argmin()
    return HalfSet(half.particles, Assignment.known(rotations[best][None], shifts[best][None]))


def test_images_of_the_map_are_not_junk_and_noise_is() -> None:
    """Particles and noise in one set, so that the spectrum is of both; all at the poses of the
    particles."""
    count = 300
    half = planted(count, 25.0)
    noise = in_memory(planted(count, 0.0, seed=5).particles).coefficients
    own = in_memory(half.particles)
    particles = replace(
        own,
        uids=tuple(map(str, range(2 * count))),
        coefficients=torch.cat([own.coefficients, noise]),
        ctf=own.ctf.repeat(2, 1),
        optics_group=torch.zeros(2 * count, dtype=torch.long),
    )
    mixed = HalfSet(
        particles,
        Assignment.joined([half.poses, half.poses]),
    )
    evidence, losses = log_evidence(mixed, DENSITY, RADIUS, RANGE)
    is_junk = junk_log_likelihoods(particles, RADIUS, losses) > evidence
    assert float(is_junk[:count].double().mean()) < 0.03
    assert float(is_junk[count:].double().mean()) > 0.97


def test_a_strong_image_that_a_map_explains_is_not_junk() -> None:
    """Of two as strong: the one of which the map explains 70 %, and the one of which 30 %."""
    particles = planted(2, 200.0).particles
    images = particles.images(RADIUS)
    whole, length = images.empty_loss(), len(images.disk)
    losses = whole - torch.tensor([0.7, 0.3]) * (whole - length)
    assert (whole > 10 * length).all()
    found = junk_log_likelihoods(particles, RADIUS, losses)
    assert found[0] == -torch.inf and found[1].isfinite()
