"""The page itself: a baseline in which nothing of ours refines."""

from __future__ import annotations

from cryospin.explore.branch_and_bound import BranchAndBound
from cryospin.recipes.branch_and_bound import recipe


def test_nothing_is_polished_and_nothing_refined() -> None:
    method = recipe()
    assert isinstance(method.starts.search, BranchAndBound)
    assert method.starts.choice.polish.steps == 0
    assert method.refinement.most_rounds == 0
