"""Flat lists of candidates: ranks, caps, weights, and children that fill their parents."""

from __future__ import annotations

import pytest
import roma
import torch

from cryospin.explore.candidates import Candidates, Level, subdivided
from phantoms import angles_degrees, random_turns


def some(images: list[int], losses: list[float]) -> Candidates:
    count = len(images)
    return Candidates(
        random_turns(count, 1).float(),
        torch.arange(2.0 * count).view(count, 2),
        torch.tensor(images),
        torch.tensor(losses),
    )


def test_cap_keeps_the_best_of_each_image() -> None:
    kept = some([0, 0, 0, 2], [3.0, 1.0, 2.0, 5.0]).capped(2, images=3)
    assert kept.image.tolist() == [0, 0, 2] and kept.loss.tolist() == [1.0, 2.0, 5.0]


def test_weights_are_a_posterior_per_image() -> None:
    # losses so large that their exponentials vanish
    weights = some([0, 0, 1], [1000.0, 1001.0, 2000.0]).weights(2)
    expected = torch.softmax(torch.tensor([0.0, -1.0]), dim=0)
    torch.testing.assert_close(weights, torch.cat([expected, torch.ones(1)]))


def test_joined_lists_are_in_the_order_of_images() -> None:
    joined = Candidates.joined(some([0, 2], [1.0, 2.0]), some([1], [3.0]))
    assert joined.image.tolist() == [0, 1, 2] and joined.loss.tolist() == [1.0, 3.0, 2.0]


@pytest.mark.parametrize("side_pixel, children", [(0.0, 8), (2.0, 32)])
def test_children(side_pixel: float, children: int) -> None:
    parents = some([0, 1], [1.0, 2.0])
    found = subdivided(parents, Level(0.2, side_pixel, 5.0))
    assert len(found) == 2 * children
    assert found.image.tolist() == [0] * children + [1] * children
    apart = angles_degrees(found.rotations, parents.rotations.repeat_interleave(children, 0))
    # corners of a cube of half the side: sqrt(3) / 4 of it away
    expected = torch.rad2deg(torch.tensor(0.2 * 3**0.5 / 4)).double().expand_as(apart)
    torch.testing.assert_close(apart, expected, rtol=1e-4, atol=0)
    away = (found.shifts_pixel - parents.shifts_pixel.repeat_interleave(children, 0)).abs()
    torch.testing.assert_close(away, torch.full_like(away, side_pixel / 4))


def test_children_cover_their_parents_cell() -> None:
    """No turn inside a cell is further from its nearest child than that child's corners."""
    parent = some([0], [1.0])
    children = subdivided(parent, Level(0.2, 0.0, 5.0))
    generator = torch.Generator().manual_seed(2)
    inside = (torch.rand(300, 3, generator=generator) - 0.5) * 0.2
    turns = roma.rotvec_to_rotmat(inside) @ parent.rotations
    apart = angles_degrees(
        turns[:, None].expand(-1, 8, 3, 3).reshape(-1, 3, 3),
        children.rotations.repeat(300, 1, 1),
    ).view(300, 8)
    corner = torch.rad2deg(torch.tensor(0.05 * 3**0.5))
    assert apart.amin(dim=1).max() < 1.05 * corner
