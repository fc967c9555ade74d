"""Classes at poses that stay: the same classes from any random split, and nothing starves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cryospin.mixture.classed_half import class_losses, class_weights
from cryospin.mixture.split import ClassSplit, evened, reseeded
from cryospin.particles.spectrum import prior_precision
from cryospin.volumes.gridded import map_of, support_sphere
from phantoms import Blobs
from planted_mixture import BOX, IDENTITY, SETTING, STATES, SUPPORT, PlantedMixture, accuracy

QUICK = ClassSplit(radii=(6.0, 8.0), iterations=8)


def split_of(mixture: PlantedMixture, classes: int, seed: int, method: ClassSplit = QUICK):
    rng = np.random.default_rng(seed)
    return method.run(mixture.half, classes, SETTING, rng)


@pytest.mark.parametrize("states", [STATES[:2], STATES], ids=["two", "three"])
def test_states_of_one_structure_are_found_from_any_split(states: tuple[Blobs, ...]) -> None:
    mixture = PlantedMixture.of(states, (100,) * len(states), 1, signal=30.0)
    for seed in range(3):
        found = split_of(mixture, len(states), seed)
        assert accuracy(found.numbers, mixture.numbers) > 0.97, f"seed {seed}"
        torch.testing.assert_close(found.weights.sum(dim=1), torch.ones(len(mixture.numbers)))


def test_a_rare_class_is_found() -> None:
    mixture = PlantedMixture.of(STATES[:2], (180, 30), 2, signal=30.0)
    assert accuracy(split_of(mixture, 2, 1).numbers, mixture.numbers) > 0.95


def test_the_same_seed_gives_the_same_bits_and_every_iteration_is_told() -> None:
    mixture = PlantedMixture.of(STATES[:2], (40, 40), 3, signal=30.0)
    method = ClassSplit(radii=(5.0, 6.0), iterations=2, starts=3)
    told: list[tuple[int, int]] = []
    first = method.run(
        mixture.half, 2, SETTING, np.random.default_rng(4), lambda *e: told.append(e)
    )
    assert torch.equal(first.weights, split_of(mixture, 2, 4, method).weights)
    assert told == [(done, 8) for done in range(1, 9)]
    # poses stay as they were
    assert all(half is mixture.half for half in first.sets)


def test_an_iteration_is_a_step_of_em() -> None:
    """Without over-relaxation: maps by the weights, then weights by the maps' likelihoods."""
    mixture = PlantedMixture.of(STATES[:2], (40, 40), 3, signal=30.0)
    begun, radius = mixture.classed(0.3), 6.0
    method = ClassSplit(iterations=1, over_relaxation=1.0)
    found, evidence = method.settle(begun, radius, SETTING)
    support = support_sphere(BOX, radius, SUPPORT)
    precision = prior_precision(mixture.half.particles)
    maps = [
        map_of(begun.sums(number, radius, IDENTITY), precision, radius, BOX, support)
        for number in range(2)
    ]
    likelihoods = -class_losses(begun.sets, maps, radius)
    torch.testing.assert_close(found.weights, torch.softmax(likelihoods, dim=1))
    assert evidence == pytest.approx(float(torch.logsumexp(likelihoods, dim=1).mean()), rel=1e-5)


def test_a_starved_class_gets_every_other_image_of_the_largest() -> None:
    weights = torch.tensor([[0.9, 0.0, 0.1]] * 4 + [[0.2, 0.0, 0.8]] * 2)
    shared = reseeded(weights)
    expected = weights.clone()
    expected[::2, 1], expected[::2, 0] = weights[::2, 0], 0.0
    torch.testing.assert_close(shared, expected)
    torch.testing.assert_close(shared.sum(dim=1), weights.sum(dim=1))
    fed = torch.tensor([[0.9, 0.1]] * 5)
    assert reseeded(fed) is fed


@pytest.mark.parametrize(
    ("advantage", "hold", "share"),
    [(3.0, 0.0, 0.0), (3.0, 6.0, 0.5), (30.0, 6.0, 0.25)],
    ids=["free", "held", "held in vain"],
)
def test_a_class_of_a_poor_map_is_given_no_more_than_is_held(
    advantage: float, hold: float, share: float
) -> None:
    """A quarter of the images are of the second class by far; the map of the first, so much better
    for all others, takes the rest."""
    likelihoods = torch.zeros(4000, 2)
    likelihoods[:, 0] = advantage + 2.0 * torch.randn(4000, generator=torch.manual_seed(1))
    likelihoods[:1000, 1] = 100.0
    likelihoods[1000:, 1] = -2.0
    prior = evened(likelihoods, hold)
    assert float((prior[1] / prior[0]).log()) <= hold + 1e-3
    weights = class_weights(likelihoods, prior).mean(dim=0)
    free = class_weights(likelihoods, torch.tensor([0.5, 0.5])).mean(dim=0)
    if share == 0.5:
        torch.testing.assert_close(weights, torch.tensor([0.5, 0.5]), atol=0.01, rtol=0)
    elif share:
        torch.testing.assert_close(weights, torch.tensor([1 - share, share]), atol=0.01, rtol=0)
    else:
        assert torch.equal(weights, free)


def test_held_classes_are_even_where_free_ones_are_not() -> None:
    """Of a structure whose images are fewer others are given to it, as long as they are no
    matter of more than is held."""
    mixture = PlantedMixture.of(STATES[:2], (120, 60), 2, signal=3.0)
    begun = mixture.classed(0.9)
    free, _ = QUICK.settle(begun, 6.0, SETTING)
    held, _ = QUICK.settle(begun, 6.0, SETTING, hold=6.0)
    torch.testing.assert_close(held.fractions, torch.tensor([0.5, 0.5]), atol=0.02, rtol=0)
    assert abs(float(free.fractions[0]) - 0.5) > abs(float(held.fractions[0]) - 0.5)
