"""The rule by which a run is trusted, on made-up runs."""

from __future__ import annotations

from itertools import combinations

import pytest

from cryospin.campaign.judge import (
    AGREE,
    ALONE,
    DISAGREE,
    NONE,
    Candidate,
    judge,
    ranked,
    supporters,
)


def made_up(
    converged: str, same: tuple[str, ...], resolution: dict[str, float] | None = None
) -> list[Candidate]:
    """Runs a, b, c ... of seeds 1, 2, 3 ...: a capital one converged; those of a group in `same`
    show the same map."""
    names = list(converged.lower())
    agree = {pair: any({*pair} <= {*group} for group in same) for pair in combinations(names, 2)}
    found = supporters(names, agree)
    return [
        Candidate(name, seed, word.isupper(), (resolution or {}).get(name, 8.0), found[name])
        for seed, (name, word) in enumerate(zip(names, converged, strict=True), 1)
    ]


@pytest.mark.parametrize(
    ("converged", "same", "resolution", "verdict", "ranking"),
    [
        ("", (), {}, NONE, ""),
        ("ab", ("ab",), {}, NONE, "ab"),
        ("A", (), {}, ALONE, "a"),
        # one that converged comes before one that others agree with, or that is finer
        ("abC", ("ab",), {"a": 5.0}, ALONE, "cab"),
        ("ABC", ("abc",), {}, AGREE, "abc"),
        # agreement before resolution, resolution before the seed
        ("ABC", ("bc",), {"a": 4.0, "c": 7.0}, AGREE, "cba"),
        ("ABCD", ("bcd",), {"a": 4.0}, AGREE, "bcda"),
        # those that did not converge may bear a map out, but do not make most of those that did
        ("ABc", ("bc",), {}, DISAGREE, "bac"),
        ("AB", (), {}, DISAGREE, "ab"),
        ("ABCD", ("ab", "cd"), {}, DISAGREE, "abcd"),
        ("ABC", (), {}, DISAGREE, "abc"),
    ],
)
def test_the_rule(
    converged: str,
    same: tuple[str, ...],
    resolution: dict[str, float],
    verdict: str,
    ranking: str,
) -> None:
    judged = judge(made_up(converged, same, resolution))
    assert (judged.verdict, "".join(judged.ranking)) == (verdict, ranking)
    trusted = verdict in (AGREE, ALONE)
    assert judged.best == (ranking[0] if trusted else None)
    assert judged.reasons


def test_the_order_of_runs_does_not_matter() -> None:
    runs = made_up("ABcD", ("ad", "bc"), {"b": 6.0})
    assert ranked(runs) == ranked(runs[::-1])


def test_what_is_said() -> None:
    assert judge(made_up("ABC", ("ab",))).reasons == (
        "2 of 3 runs that converged show the same",
        "another map was found by c",
    )
    assert "do not agree" in judge(made_up("AB", ())).reasons[0]
    assert "run more seeds" in judge(made_up("A", ())).reasons[0]
    assert "none of 2 runs converged" in judge(made_up("ab", ())).reasons[0]
    assert "no run has ended" in judge([]).reasons[0]
    assert judge(made_up("Ab", ())).reasons[0].endswith("no other run bears it out")
    assert judge(made_up("Abc", ("ac",))).reasons[0].endswith("its map was found by c, too")
