"""The M-step: each voxel's equations, against the maps of single images and plain solving."""

from __future__ import annotations

import pytest
import torch

from cryospin.kernels import margin_for
from cryospin.rotations.symmetry import symmetry_group
from cryospin.variability.maximization import moment_sums, solved
from cryospin.variability.subspace import CentredImages, Coordinates
from cryospin.volumes.gridded import SliceSums, wiener_volume
from variability_toys import RADIUS, LinearPhantom, drawn_coordinates

C1 = torch.eye(3)[None]
HALF = LinearPhantom.of(1).half_set(drawn_coordinates(20, 1, seed=2), seed=2)
IMAGES = CentredImages.of(HALF, RADIUS)


def coordinates(components: int) -> Coordinates:
    mean = drawn_coordinates(20, components + 1, seed=3)
    generator = torch.Generator().manual_seed(4)
    roots = torch.randn(20, components + 1, components + 1, generator=generator)
    return Coordinates(mean, roots @ roots.mT, 0.0)


def test_every_sum_is_that_of_weighted_images() -> None:
    of = coordinates(3)
    numerators, denominators = moment_sums(IMAGES, of, C1)

    def sums(weight: torch.Tensor) -> SliceSums:
        values = (IMAGES.values * weight[:, None], IMAGES.power * weight[:, None])
        return SliceSums.inserted(*values, IMAGES.rotations, IMAGES.disk, margin, C1)

    margin = margin_for(RADIUS)
    for a in range(4):
        expected = sums(of.mean[:, a]).numerator
        scale = float(expected.abs().max())
        torch.testing.assert_close(numerators[a], expected, atol=1e-5 * scale, rtol=1e-4)
        for b in range(4):
            expected = sums(of.mean[:, a] * of.mean[:, b] + of.covariance[:, a, b]).denominator
            scale = float(expected.abs().max())
            torch.testing.assert_close(denominators[a, b], expected, atol=1e-5 * scale, rtol=1e-4)


def test_without_variation_the_mean_is_the_wiener_map() -> None:
    """Coordinates that are all zero leave the maps apart: the mean's equations are a map's."""
    mean, covariance = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([0.0, 0.5, 0.5]).diag()
    still = Coordinates(mean.expand(20, 3), covariance.expand(20, 3, 3), 0.0)
    prior = torch.linspace(1.0, 2.0, 10).expand(3, -1)
    volumes = solved(*moment_sums(IMAGES, still, C1), prior, RADIUS)
    numerators, denominators = moment_sums(IMAGES, still, C1)
    expected = wiener_volume(numerators[0], denominators[0, 0], prior[0], RADIUS)
    torch.testing.assert_close(volumes[0], expected, atol=1e-5, rtol=1e-4)
    assert volumes[1:].abs().max() < 1e-6


def test_the_solution_satisfies_the_equations() -> None:
    numerators, denominators = moment_sums(IMAGES, coordinates(2), C1)
    prior = torch.stack([torch.full((10,), value) for value in (1.0, 3.0, 5.0)])
    volumes = solved(numerators, denominators, prior, RADIUS)
    left = torch.einsum("abzyx,bzyx->azyx", denominators.to(volumes.dtype), volumes)
    left = left + torch.tensor([1.0, 3.0, 5.0])[:, None, None, None] * volumes
    inside = volumes.abs().sum(dim=0) > 0
    scale = float(numerators.abs().max())
    torch.testing.assert_close(left[:, inside], numerators[:, inside], atol=1e-5 * scale, rtol=1e-3)


def test_symmetry_makes_the_maps_symmetric() -> None:
    """About z, x and -x are mates, so a plane of the half x >= 0 is its own mate at x = 0."""
    numerators, denominators = moment_sums(IMAGES, coordinates(1), symmetry_group("C2").float())
    once = moment_sums(IMAGES, coordinates(1), C1)[1]
    assert float(denominators[0, 0].sum() / once[0, 0].sum()) == pytest.approx(2.0, rel=0.02)
    # turned by C2 and by Friedel: F(x, y, z) = F(-x, -y, z) = conj F(x, y, -z)
    for volume in numerators:
        scale = float(volume.abs().max())
        torch.testing.assert_close(volume, volume.flip(0).conj(), atol=1e-4 * scale, rtol=1e-3)
