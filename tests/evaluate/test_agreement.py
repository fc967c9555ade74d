"""Two partitions compared, against values worked out by hand and by the definition."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest

from cryospin.evaluate.agreement import Agreement


def of(found: list[int], true: list[int]) -> Agreement:
    return Agreement.of(np.array(found), np.array(true), max(found) + 1, max(true) + 1)


def drawn(seed: int, count: int = 40, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.integers(-1, classes, count)
    return np.where(rng.random(count) < 0.5, true, rng.integers(-1, classes, count)), true


def test_counts_and_matches() -> None:
    agreement = of([1, 1, 0, 0, -1, 2], [0, 0, 1, 0, -1, -1])
    assert agreement.counts.tolist() == [[1, 0, 0, 1], [0, 1, 2, 0], [0, 1, 0, 0]]
    # class 2 has no particle that shows anything
    assert agreement.matches == {1: 0, 0: 1}
    assert agreement.accuracy == pytest.approx(4 / 6)
    assert agreement.mostly(0) == 0 and agreement.mostly(2) is None


@pytest.mark.parametrize("seed", range(5))
def test_no_other_assignment_is_better(seed: int) -> None:
    found, true = drawn(seed)
    accuracy = Agreement.of(found, true, 4, 4).accuracy
    by_trial = max(
        np.mean(np.array([-1, *order])[found + 1] == true) for order in permutations(range(4))
    )
    assert accuracy == pytest.approx(by_trial)


@pytest.mark.parametrize("seed", range(5))
def test_adjusted_rand_index_by_its_definition(seed: int) -> None:
    """Pairs that are together in both, less what chance gives, over the most there can be."""
    found, true = drawn(seed)
    pairs = np.array([*combinations(range(len(true)), 2)])
    same = [labels[pairs[:, 0]] == labels[pairs[:, 1]] for labels in (found, true)]
    both, expected = (same[0] & same[1]).sum(), same[0].sum() * same[1].sum() / len(pairs)
    index = (both - expected) / (0.5 * (same[0].sum() + same[1].sum()) - expected)
    assert Agreement.of(found, true, 4, 4).adjusted_rand_index == pytest.approx(index)


def test_the_index_at_its_ends() -> None:
    assert of([2, 2, 0, 0, 1], [0, 0, 1, 1, 2]).adjusted_rand_index == 1.0
    assert of([0, 0, 0], [0, 0, 0]).adjusted_rand_index == 1.0
    # one structure split in two is as good as chance, however large the half
    split = of([0, 0, 0, 1], [0, 0, 0, 0])
    assert split.adjusted_rand_index == 0.0 and split.accuracy == 0.75
    rng = np.random.default_rng(0)
    found, true = rng.integers(0, 3, (2, 20_000))
    assert abs(Agreement.of(found, true, 3, 3).adjusted_rand_index) < 0.01


def test_more_classes_than_there_are_structures() -> None:
    agreement = of([0, 0, 0, 1, 1, 2], [0, 0, 0, 0, 0, 0])
    assert agreement.matches == {0: 0}
    assert [agreement.mostly(number) for number in range(3)] == [0, 0, 0]
