"""A half-set in classes: sums, losses and posteriors, each against its plain twin."""

from __future__ import annotations

import numpy as np
import torch

from cryospin.kernels import pose_losses
from cryospin.mixture.classed_half import ClassedHalf, class_losses, class_weights, likeliest
from cryospin.refine.halves import sums_of
from cryospin.volumes.gridded import map_to_volume
from phantoms import random_turns
from planted_mixture import BOX, IDENTITY, STATES, WHOLE, PlantedMixture

RADIUS = 7.0
MIXTURE = PlantedMixture.of(STATES[:2], (30, 20), 1, signal=30.0)
HALF = MIXTURE.half


def elsewhere(seed: int):
    """The same images at other poses."""
    turned = random_turns(len(HALF.particles), seed).float()
    return HALF.with_poses(rotations=turned, shifts_pixel=0 * HALF.shifts_pixel)


def test_sums_of_all_classes_are_those_of_all_images() -> None:
    """The M-step is linear in the weights."""
    weights = torch.rand(50, 3, generator=torch.manual_seed(1)) + 0.1
    classed = ClassedHalf((HALF,) * 3, weights / weights.sum(dim=1, keepdim=True))
    parts = [classed.sums(number, RADIUS, IDENTITY) for number in range(3)]
    together, whole = parts[0] + parts[1] + parts[2], sums_of(HALF, RADIUS, IDENTITY)
    for name in ("numerator", "denominator"):
        expected = getattr(whole, name)
        difference = (getattr(together, name) - expected).abs().max()
        assert difference < 1e-5 * expected.abs().max()


def test_a_class_without_images_has_empty_sums() -> None:
    classed = ClassedHalf((HALF, HALF), torch.tensor([[1.0, 0.0]] * 50))
    sums = classed.sums(1, RADIUS, IDENTITY)
    assert not sums.numerator.abs().any() and not sums.denominator.any()
    assert len(classed.members(1).particles) == 0


def test_class_losses_are_pose_losses_of_each_class() -> None:
    sets = (HALF, elsewhere(7))
    densities = [each.density(BOX).float() for each in STATES[:2]]
    found = class_losses(sets, densities, RADIUS)
    for number, (half, density) in enumerate(zip(sets, densities, strict=True)):
        expected = pose_losses(
            map_to_volume(density, BOX, RADIUS),
            half.particles.images(RADIUS),
            half.rotations,
            half.shifts_pixel,
        )
        torch.testing.assert_close(found[:, number], expected)


def test_true_maps_at_true_poses_tell_the_classes() -> None:
    losses = class_losses((HALF, HALF), [each.density(BOX).float() for each in STATES[:2]], RADIUS)
    weights = class_weights(-losses, torch.tensor([0.6, 0.4]))
    assert (likeliest(weights) == MIXTURE.numbers).all()
    assert torch.equal(ClassedHalf((HALF, HALF), weights).numbers, MIXTURE.numbers)


def test_weights_are_bayes() -> None:
    """Three classes of which one is likelier by its likelihood, one by its fraction."""
    likelihoods = torch.tensor([[1.0, 2.0, 1.0]])
    fractions = torch.tensor([0.2, 0.2, 0.6])
    found = class_weights(likelihoods.log(), fractions)
    torch.testing.assert_close(found, torch.tensor([[0.2, 0.4, 0.6]]) / 1.2)
    # a tenth of the images is junk, and as junk this one is four times as likely
    found = class_weights(likelihoods.log(), 0.9 * fractions, torch.tensor([4.0]).log())
    torch.testing.assert_close(found, 0.9 * torch.tensor([[0.2, 0.4, 0.6]]) / (1.08 + 0.4))
    assert not class_weights(torch.tensor([[-1e9, 0.0]]), torch.zeros(2)).isnan().any()


def test_an_image_of_no_class_has_no_number() -> None:
    weights = torch.tensor([[0.5, 0.3], [0.2, 0.3], [0.34, 0.33], [0.0, 0.0]])
    assert likeliest(weights).tolist() == [0, -1, 0, -1]
    fractions = ClassedHalf((HALF, HALF), weights).fractions
    torch.testing.assert_close(fractions, torch.tensor([0.26, 0.2325]))


def test_members_have_their_class_poses() -> None:
    other = elsewhere(7)
    classed = ClassedHalf((HALF, other), MIXTURE.classed().weights)
    rows = torch.nonzero(MIXTURE.numbers == 1).flatten()
    members = classed.members(1)
    assert torch.equal(members.rotations, other.rotations[rows])
    assert members.particles.uids == tuple(np.array(HALF.particles.uids)[rows.numpy()])


def test_another_order_and_back_from_a_tree() -> None:
    classed = ClassedHalf((HALF, elsewhere(7)), MIXTURE.classed(0.5).weights)
    turned = classed.ordered([1, 0])
    assert turned.sets == (classed.sets[1], classed.sets[0])
    assert torch.equal(turned.weights, classed.weights.flip(1))
    again = ClassedHalf.recalled(HALF.particles, classed.tree)
    assert torch.equal(again.weights, classed.weights)
    for one, other in zip(again.sets, classed.sets, strict=True):
        assert torch.equal(one.rotations, other.rotations)
        assert torch.equal(one.shifts_pixel, other.shifts_pixel)
        assert torch.equal(one.confidence, other.confidence)


def test_a_map_of_everything_is_no_class() -> None:
    """Weights shared alike tell nothing: both maps are the same."""
    even = MIXTURE.classed(0.0)
    first, second = (even.sums(number, RADIUS, IDENTITY) for number in (0, 1))
    assert torch.equal(first.numerator, second.numerator)
    density = WHOLE.density(BOX).float()
    losses = class_losses(even.sets, [density, density], RADIUS)
    torch.testing.assert_close(class_weights(-losses, even.fractions), even.weights)
