"""One pose per image: put together, taken apart, handed on as hypotheses."""

from __future__ import annotations

from dataclasses import fields

import torch

from cryospin.poses import Assignment
from phantoms import random_turns


def found(count: int, seed: int) -> Assignment:
    rng = torch.Generator().manual_seed(seed)
    return Assignment(
        random_turns(count, seed).float(),
        torch.randn(count, 2, generator=rng),
        torch.rand(count, generator=rng),
        torch.rand(count, generator=rng),
    )


def assert_same(one: Assignment, other: Assignment) -> None:
    for field in fields(Assignment):
        assert torch.equal(getattr(one, field.name), getattr(other, field.name)), field.name


def test_joined_undoes_select() -> None:
    whole = found(6, 1)
    assert len(whole) == 6
    assert_same(Assignment.joined([whole.select(slice(0, 2)), whole.select(slice(2, 6))]), whole)


def test_rows_are_replaced_and_nothing_else() -> None:
    whole, some = found(6, 1), found(2, 2)
    kept = whole.select(slice(None))
    rows = torch.tensor([4, 1])
    changed = whole.with_rows(rows, some)
    assert_same(changed.select(rows), some)
    others = torch.tensor([0, 2, 3, 5])
    assert_same(changed.select(others), whole.select(others))
    assert_same(whole, kept)


def test_known_poses_are_sure() -> None:
    poses = found(3, 1)
    known = Assignment.known(poses.rotations, poses.shifts_pixel)
    assert known.confidence.tolist() == [1.0] * 3 and known.loss.tolist() == [0.0] * 3


def test_each_alone_is_one_hypothesis() -> None:
    poses = found(3, 1)
    alone = poses.alone()
    assert alone.rotations.shape == (3, 1, 3, 3)
    twice = alone.joined(found(3, 2).alone())
    assert torch.equal(twice.rotations[:, 0], poses.rotations) and len(twice) == 3
