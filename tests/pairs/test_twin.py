"""The published twin network: its layers, its pairs, and that it learns."""

from __future__ import annotations

import torch
from torch import nn

from cryospin.pairs.distances import distances_between, feature_distance
from cryospin.pairs.twin import (
    LAYERS,
    TwinNetwork,
    TwinTraining,
    evenly_weighed,
    predicted_distances,
)
from phantoms import random_turns


def test_the_layers_are_the_papers() -> None:
    network = TwinNetwork(128, torch.Generator())
    convolutions = [layer for layer in network.layers if isinstance(layer, nn.Conv2d)]
    assert [(c.kernel_size[0], c.out_channels) for c in convolutions] == list(LAYERS)
    assert sum(isinstance(layer, nn.MaxPool2d) for layer in network.layers) == 7
    assert network(torch.randn(2, 128, 128)).shape == (2, 512)
    assert TwinNetwork(32, torch.Generator())(torch.randn(2, 32, 32)).shape == (2, 512)


def test_weighed_pairs_are_uniform_in_their_distance() -> None:
    distances = distances_between(random_turns(600, 1))
    one, other = torch.triu_indices(600, 600, 1)
    weight = evenly_weighed(distances[one, other])
    each = (distances[one, other] * (12 / torch.pi)).long().clamp_max(11)
    share = torch.zeros(12, dtype=weight.dtype).index_add_(0, each, weight) / weight.sum()
    # the closest pairs are few, and held back
    assert share[0] < 1.2 / 12
    assert share[1:].min() > 0.85 / 12 and share[1:].max() < 1.15 / 12


def test_training_is_seeded_and_predictions_are_the_networks() -> None:
    rng = torch.Generator().manual_seed(1)
    images, rotations = torch.randn(12, 16, 16, generator=rng), random_turns(12, 2)
    losses: list[float] = []
    training = TwinTraining(steps=24, images=8, rate=1e-3)
    one = training.run(images, rotations, 1, lambda step, loss: losses.append(loss))
    other = training.run(images, rotations, 1)
    found = predicted_distances(one, images)
    assert torch.equal(found, predicted_distances(other, images))
    features = one(images)
    torch.testing.assert_close(
        found[0, 1:].float(),
        feature_distance(features[:1].expand(11, -1), features[1:]),
        atol=1e-3,
        rtol=0,
    )
    assert found.diagonal().max() < 1e-6 and sum(losses[-8:]) < sum(losses[:8])
