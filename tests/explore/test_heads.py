"""Heads make rotations and bounded shifts; the winner takes all, and its gradient too."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from cryospin.explore.heads import (
    PoseHeads,
    head_usage,
    winner_takes_all,
)
from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.image_batch import ImageBatch
from cryospin.imaging import negative_log_likelihood
from cryospin.kernels import margin_for
from phantoms import Blobs, disk_coefficients

BOX = 16
DISK = FourierDisk.of(BOX, 4.0)


def small_heads(heads: int, seed: int = 0) -> PoseHeads:
    return PoseHeads(6, heads, 2.5, torch.Generator().manual_seed(seed), widths=(8, 5))


@pytest.mark.parametrize("heads", [1, 3])
def test_heads_give_rotations_and_shifts_within_range(heads: int) -> None:
    features = 50 * torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    rotations, shifts = small_heads(heads)(features)
    assert rotations.shape == (4, heads, 3, 3) and shifts.shape == (4, heads, 2)
    identity = torch.eye(3).expand_as(rotations)
    torch.testing.assert_close(rotations @ rotations.mT, identity, rtol=0, atol=1e-5)
    assert float(shifts.detach().abs().max()) <= 2.5


def test_each_head_is_a_network_of_its_own() -> None:
    """The batched product equals the plain one, head by head."""
    features = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    network = small_heads(3)
    _, shifts = network(features)
    for head in range(3):
        values = features
        for layer in range(3):
            values = values @ network.weights[layer][head] + network.biases[layer][head]
            values = values.relu() if layer < 2 else values
        torch.testing.assert_close(shifts[:, head], 2.5 * values[:, 6:].tanh())


def setting(dtype: torch.dtype, heads: int):
    """A likelihood of two images, and candidates from heads."""
    volume = 10 * Blobs.random(1, spread=2.0).volume(margin_for(DISK.radius), BOX)
    images = 3 * disk_coefficients(2, DISK, 2)
    ctf = torch.ones(2, len(DISK), dtype=torch.float64)
    if dtype == torch.float32:
        volume, images, ctf = volume.to(torch.complex64), images.to(torch.complex64), ctf.float()

    likelihood = partial(negative_log_likelihood, volume, ImageBatch(images, ctf, DISK))

    features = torch.randn(2, 6, dtype=dtype, generator=torch.Generator().manual_seed(3))
    return likelihood, small_heads(heads).to(dtype)(features)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_least_loss_wins_and_only_it_is_differentiated(dtype: torch.dtype) -> None:
    likelihood, (rotations, shifts) = setting(dtype, 4)
    image = torch.arange(2)
    winners = winner_takes_all(likelihood, rotations, shifts)
    every = likelihood(rotations.flatten(0, 1), shifts.flatten(0, 1), image.repeat_interleave(4))
    torch.testing.assert_close(winners.loss, every.view(2, 4).amin(dim=1))
    assert winners.head.tolist() == every.view(2, 4).argmin(dim=1).tolist()
    (gradient,) = torch.autograd.grad(winners.loss.sum(), shifts)
    for row in range(2):
        others = [head for head in range(4) if head != winners.head[row]]
        assert float(gradient[row, others].abs().max()) == 0
        assert float(gradient[row, winners.head[row]].abs().max()) > 0


def test_its_gradient_is_that_of_the_minimum() -> None:
    """With respect to shifts of all heads, against the minimum taken with the graph whole."""
    likelihood, (rotations, shifts) = setting(torch.float64, 3)
    index = torch.arange(2).repeat_interleave(3)
    whole = likelihood(rotations.flatten(0, 1), shifts.flatten(0, 1), index).view(2, 3)
    expected = torch.autograd.grad(whole.amin(dim=1).sum(), shifts, retain_graph=True)
    found = torch.autograd.grad(winner_takes_all(likelihood, rotations, shifts).loss.sum(), shifts)
    torch.testing.assert_close(found, expected)


def test_a_single_head_wins_without_a_contest() -> None:
    likelihood, (rotations, shifts) = setting(torch.float64, 1)
    winners = winner_takes_all(likelihood, rotations, shifts)
    assert winners.head.tolist() == [0, 0] and winners.loss.requires_grad
    expected = likelihood(rotations[:, 0], shifts[:, 0], torch.arange(2))
    torch.testing.assert_close(winners.loss, expected)


def test_nan_never_wins_while_a_number_is_left() -> None:
    def likelihood(rotations, shifts, index):
        return torch.tensor([torch.nan, 2.0, 1.0, torch.nan])[: len(index)]

    with torch.no_grad():
        winners = winner_takes_all(
            likelihood, torch.eye(3).repeat(2, 2, 1, 1), torch.zeros(2, 2, 2)
        )
    assert winners.head.tolist() == [1, 0]


def test_usage_is_the_share_of_images_won() -> None:
    assert head_usage(torch.tensor([0, 0, 2, 0]), 3).tolist() == [0.75, 0.0, 0.25]
