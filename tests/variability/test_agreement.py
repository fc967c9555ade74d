"""Halves along common axes: what they share is found whatever axes each half was in."""

from __future__ import annotations

import pytest
import torch

from cryospin.variability.agreement import agreement_of, common_axes, in_words
from cryospin.variability.subspace import Subspace, turning
from phantoms import random_turns
from variability_toys import LinearPhantom

GRID = 24
TRUE = LinearPhantom.of(3).densities(GRID)


def half(seed: int, noise: float, true: torch.Tensor = TRUE) -> Subspace:
    """The true maps in axes of its own, with noise of so many times a voxel's deviation."""
    generator = torch.Generator().manual_seed(seed)
    added = noise * TRUE[1:].std() * torch.randn(true.shape, generator=generator)
    basis = random_turns(1, seed)[0].float()
    return Subspace(true + added).changed(turning(basis))


def test_the_same_subspace_agrees_in_any_axes() -> None:
    halves = half(1, 0.0), half(2, 0.0)
    bases = common_axes(*halves)
    turned = [each.changed(basis) for each, basis in zip(halves, bases, strict=True)]
    torch.testing.assert_close(turned[0].components, turned[1].components, atol=1e-6, rtol=1e-3)
    for basis in bases:
        torch.testing.assert_close(basis @ basis.T, torch.eye(4), atol=1e-5, rtol=0)
    found = agreement_of(*turned, shells=8)
    torch.testing.assert_close(found.correlation, torch.ones(3), atol=1e-4, rtol=0)
    assert found.fsc.shape == (3, 8) and found.fsc.min() > 0.999
    # principal axes: orthogonal maps, the largest variance first
    gram = turned[0].components.flatten(1) @ turned[0].components.flatten(1).T
    assert (gram - gram.diagonal().diag()).abs().max() < 1e-3 * gram.max()
    assert found.variance.tolist() == sorted(found.variance.tolist(), reverse=True)
    expected = TRUE[1:].square().sum() / TRUE[0].square().sum()
    assert float(found.variance.sum()) == pytest.approx(float(expected), rel=1e-3)


def test_a_sign_is_that_of_the_strongest_voxel() -> None:
    halves = half(1, 0.1), half(2, 0.1)
    bases = common_axes(*halves)
    both = sum(each.changed(basis).components for each, basis in zip(halves, bases, strict=True))
    assert all(float(each.flatten()[each.abs().argmax()]) > 0 for each in both)


def test_noise_alone_does_not_agree() -> None:
    nothing = torch.cat([TRUE[:1], torch.zeros_like(TRUE[1:])])
    halves = half(1, 1.0, nothing), half(2, 1.0, nothing)
    turned = [e.changed(b) for e, b in zip(halves, common_axes(*halves), strict=True)]
    found = agreement_of(*turned, shells=8)
    assert found.reproducible == 0 and found.correlation.abs().max() < 0.1
    assert "No reproducible variability" in in_words(found)[0]


def test_what_noise_leaves_is_counted() -> None:
    """Two components stand out of the noise, the third is lost in it."""
    true = TRUE * torch.tensor([1.0, 1.0, 1.0, 0.05])[:, None, None, None]
    halves = half(1, 0.5, true), half(2, 0.5, true)
    turned = [e.changed(b) for e, b in zip(halves, common_axes(*halves), strict=True)]
    found = agreement_of(*turned, shells=8)
    assert found.reproducible == 2
    assert in_words(found)[0].startswith("2 of 3 components")


def test_a_component_like_the_mean_is_said_to_be_one() -> None:
    maps = torch.cat([TRUE[:2], 0.2 * TRUE[:1]])
    found = agreement_of(Subspace(maps), Subspace(maps), shells=8)
    assert float(found.like_the_mean[1]) == pytest.approx(1.0, abs=1e-5)
    assert "Component 2 is like the mean map" in in_words(found)[1]
