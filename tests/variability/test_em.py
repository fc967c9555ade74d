"""Expectation maximisation on images made exactly from a linear model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cryospin.refine.halves import sums_of
from cryospin.variability.em import SubspaceEM
from cryospin.variability.subspace import CentredImages, Coordinates, Subspace
from cryospin.volumes.gridded import spherical_support
from cryospin.volumes.volume_shells import shell_means
from phantoms import in_memory
from variability_toys import (
    RADIUS,
    LinearPhantom,
    correlations,
    drawn_coordinates,
    principal_cosines,
)

GRID, C1 = 22, torch.eye(3)[None]
MASK = spherical_support(GRID, 0.4 * GRID, 0.07 * GRID)
PHANTOM = LinearPhantom.of(2)
TRUE = drawn_coordinates(300, 2, seed=5)


def found(iterations: int, seed: int = 0) -> tuple[Subspace, Coordinates]:
    half = PHANTOM.half_set(TRUE, seed=5, signal=100.0)
    prior = 0.05 * shell_means(sums_of(half, RADIUS, C1).denominator, int(RADIUS) + 1)
    images = CentredImages.of(half, RADIUS)
    return SubspaceEM(2, iterations, seed).run(images, MASK, prior, C1)


@pytest.fixture(scope="module")
def converged() -> tuple[Subspace, Coordinates]:
    return found(12)


def test_the_subspace_and_the_coordinates_are_found(
    converged: tuple[Subspace, Coordinates],
) -> None:
    subspace, coordinates = converged
    true = PHANTOM.densities(GRID) * MASK
    # 300 images: what noise is left in the maps turns the plane by some degrees
    assert (principal_cosines(subspace.components, true[1:]) > 0.9).all()
    assert (correlations(coordinates.along, TRUE) > 0.98).all()
    mean = torch.stack([subspace.mean.flatten(), true[0].flatten()])
    assert torch.corrcoef(mean)[0, 1] > 0.98


def test_a_component_is_one_standard_deviation(converged: tuple[Subspace, Coordinates]) -> None:
    subspace, coordinates = converged
    power = subspace.components.square().sum()
    true = PHANTOM.densities(GRID)[1:]
    true = (TRUE.std(dim=0)[:, None, None, None] * true * MASK).square().sum()
    assert power / true == pytest.approx(1.0, abs=0.3)  # noise adds to it
    spread = coordinates.moments.mean(dim=0)
    expected = torch.block_diag(spread[:1, :1], torch.eye(2))
    torch.testing.assert_close(spread, expected, atol=1e-3, rtol=0)
    assert float(coordinates.scale.mean()) == pytest.approx(1.0, abs=1e-4)


def test_what_is_only_contrast_is_no_component() -> None:
    """Images that differ in scale alone: the scale says so, and is that of each image."""
    true = 1.0 + 0.3 * TRUE[:, 0]
    half = LinearPhantom.of(0).half_set(torch.zeros(len(TRUE), 0), seed=6, signal=100.0)
    noiseless = LinearPhantom.of(0).half_set(torch.zeros(len(TRUE), 0), seed=6, signal=0.0)
    noise = in_memory(noiseless.particles).coefficients
    own = in_memory(half.particles)
    scaled = true[:, None] * (own.coefficients - noise) + noise
    half = replace(half, particles=replace(own, coefficients=scaled))
    prior = 0.05 * shell_means(sums_of(half, RADIUS, C1).denominator, int(RADIUS) + 1)
    found = SubspaceEM(1, 10).run(CentredImages.of(half, RADIUS), MASK, prior, C1)
    subspace, coordinates = found
    assert float(coordinates.scale.std()) == pytest.approx(0.3, abs=0.03)
    assert float(torch.corrcoef(torch.stack([coordinates.scale, true]))[0, 1]) > 0.98
    alike = torch.corrcoef(subspace.maps.flatten(1))[0, 1]
    assert abs(float(alike)) < 0.3
    assert subspace.components.square().sum() < 0.02 * subspace.mean.square().sum()


def test_more_iterations_explain_the_images_better() -> None:
    evidence = [found(iterations)[1].log_evidence for iterations in (1, 2, 4)]
    assert evidence == sorted(evidence) and evidence[2] - evidence[0] > 1.0


def test_the_seed_decides_the_bits() -> None:
    one, same, other = (found(1, seed)[1].along for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.allclose(one, other)
