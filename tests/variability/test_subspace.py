"""Axes of a subspace, and what is kept of the images."""

from __future__ import annotations

import torch

from cryospin.variability.subspace import CentredImages, Coordinates, Subspace, turning
from phantoms import random_turns
from variability_toys import LinearPhantom, drawn_coordinates


def test_changed_maps_and_coordinates_say_the_same() -> None:
    generator = torch.Generator().manual_seed(1)
    subspace = Subspace(torch.randn(4, 6, 6, 6, generator=generator))
    w = Coordinates(torch.randn(5, 4, generator=generator), torch.eye(4).expand(5, 4, 4), 0.0)
    basis = torch.eye(4) + 0.3 * torch.randn(4, 4, generator=generator)
    other, moved = subspace.changed(basis), w.changed(basis)
    before = torch.einsum("nj,jzyx->nzyx", w.mean, subspace.maps)
    after = torch.einsum("nj,jzyx->nzyx", moved.mean, other.maps)
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)
    # E[w w^T], seen in the other basis
    expected = basis @ moved.moments @ basis.T
    torch.testing.assert_close(w.moments, expected, atol=1e-4, rtol=1e-4)


def test_turning_leaves_the_mean() -> None:
    generator = torch.Generator().manual_seed(1)
    subspace = Subspace(torch.randn(4, 6, 6, 6, generator=generator))
    turned = subspace.changed(turning(random_turns(1, 2)[0].float()))
    assert torch.equal(turned.mean, subspace.mean)
    assert not torch.allclose(turned.components, subspace.components)


def test_centred_images_forget_the_shift() -> None:
    """Of one image without noise at two shifts only the views are left."""
    phantom = LinearPhantom.of(1)
    half = phantom.half_set(drawn_coordinates(3, 1, seed=1), seed=1, signal=1e6)
    images = CentredImages.of(half, 6.0)
    disk = half.particles.disk.prefix(6.0)
    assert images.values.shape == images.power.shape == (3, len(disk)) and len(images) == 3
    slices = phantom.mean.coefficients(half.rotations, disk)
    z = drawn_coordinates(3, 1, seed=1)
    slices = slices + z * phantom.components[0].coefficients(half.rotations, disk)
    expected = images.power * slices
    scale = float(expected.abs().max())
    torch.testing.assert_close(
        images.values, expected.to(torch.complex64), atol=1e-4 * scale, rtol=0
    )
