"""Fewer classes: the empty, the alike, and those that only look like one."""

from __future__ import annotations

import pytest
import torch

from cryospin.mixture import fewer
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.mixture.fewer import dissolved, given_up, joined, without_the_empty
from phantoms import random_turns
from planted_mixture import STATES, PlantedMixture

HALF = PlantedMixture.of(STATES[:2], (40, 40), 1, signal=30.0).half


def classed(weights: torch.Tensor, seed: int) -> ClassedHalf:
    """Of each class other poses."""
    sets = [
        HALF.with_poses(rotations=random_turns(len(weights), seed + number).float())
        for number in range(weights.shape[1])
    ]
    return ClassedHalf(tuple(sets), weights)


def weights_of(seed: int, classes: int, rows: int = 80) -> torch.Tensor:
    drawn = torch.rand(rows, classes, generator=torch.manual_seed(seed)) + 0.01
    return drawn / drawn.sum(dim=1, keepdim=True)


@pytest.mark.parametrize(
    ("agreement", "kept", "gone"), [((5.0, 9.0, 7.0), 2, 0), ((8.0, 1.0, 7.0), 0, 2)]
)
def test_joining_sums_weights_and_keeps_the_better_poses(
    agreement: tuple[float, ...], kept: int, gone: int
) -> None:
    halves = classed(weights_of(1, 3), 10), classed(weights_of(2, 3), 20)
    found, agrees = joined(halves, agreement, 0, 2)
    left = [number for number in range(3) if number != gone]
    assert agrees == tuple(agreement[number] for number in left)
    for before, after in zip(halves, found, strict=True):
        assert after.sets == tuple(before.sets[number] for number in left)
        expected = before.weights[:, kept] + before.weights[:, gone]
        assert torch.equal(after.weights[:, left.index(kept)], expected)
        assert torch.equal(after.weights[:, left.index(1)], before.weights[:, 1])
        torch.testing.assert_close(after.weights.sum(dim=1), torch.ones(80))
    assert halves[0].weights.shape == (80, 3), "what was given is left as it was"


def test_a_class_that_one_half_set_hardly_has_is_none() -> None:
    full = torch.eye(3)[torch.arange(80) % 3] * 0.9 + 0.03
    lacking = torch.eye(3)[torch.arange(80) % 2] * 0.9 + 0.03
    halves = classed(full, 10), classed(lacking, 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fewer, "_LEAST_OF_A_HALF", 20)
        found, agreement = without_the_empty(halves, (7.0, 8.0, 9.0))
        assert agreement == (7.0, 8.0)
        assert without_the_empty(found, agreement)[0] is found
    for before, after in zip(halves, found, strict=True):
        assert after.sets == before.sets[:2]
        # what was sure to be none of junk still is
        torch.testing.assert_close(after.weights.sum(dim=1), before.weights.sum(dim=1))


def test_where_all_images_are_junk_they_are_one_class() -> None:
    """For the verdict to judge: a run has an end."""
    halves = classed(0.1 * weights_of(1, 2), 10), classed(0.1 * weights_of(2, 2), 20)
    found, agreement = without_the_empty(halves, (3.0, 4.0))
    assert agreement == (4.0,)
    for before, after in zip(halves, found, strict=True):
        assert (before.numbers < 0).all() and (after.numbers == 0).all()
        assert after.sets == (before.sets[1],)


def test_images_of_a_class_that_is_given_up_are_junk() -> None:
    halves = classed(weights_of(1, 3), 10), classed(weights_of(2, 3), 20)
    found, agreement = dissolved(halves, (5.0, 9.0, 7.0), 1)
    assert agreement == (5.0, 7.0)
    for before, after in zip(halves, found, strict=True):
        assert after.sets == (before.sets[0], before.sets[2])
        assert torch.equal(after.weights, before.weights[:, [0, 2]])
        given_up = before.weights[:, 1] > 0.5
        assert given_up.any() and (after.numbers[given_up] == -1).all()


@pytest.mark.parametrize(
    ("shares", "agreement", "fewer_will_do", "gone"),
    [
        ((0.97, 0.03), (9.0, 2.0), False, 1),  # of few images
        ((0.90, 0.10), (9.0, 2.0), False, None),  # as many as were asked for
        ((0.90, 0.10), (9.0, 2.0), True, 1),
        ((0.97, 0.03), (9.0, 8.0), True, None),  # found alike
        ((1.0,), (2.0,), True, None),  # the only one
    ],
)
def test_classes_that_half_sets_do_not_find_alike_are_given_up(
    shares: tuple[float, ...],
    agreement: tuple[float, ...],
    fewer_will_do: bool,
    gone: int | None,
) -> None:
    halves = tuple(classed(torch.tensor(shares).expand(80, -1), seed) for seed in (10, 20))
    assert given_up((halves[0], halves[1]), agreement, 6.0, fewer_will_do) == gone
