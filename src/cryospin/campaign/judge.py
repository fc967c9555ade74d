"""Which run of a campaign to trust, by a rule that is told, and whether there is any.

Runs are ranked: those that converged first, then by how many others show the same, then by
resolution. The first is to be trusted unless most of the converged runs show something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

RULE = (
    "runs that converged come first",
    "of these, the run whose maps most of the other runs found too",
    "of these, the run of the finest resolution, and then of the lowest seed",
)
AGREE, ALONE, DISAGREE, NONE = "agree", "alone", "disagree", "none"


@dataclass(frozen=True)
class Candidate:
    """A run that has ended, as the rule sees it. supporters: names of the others that agree."""

    name: str
    seed: int
    converged: bool
    resolution_angstrom: float | None
    supporters: frozenset[str]


@dataclass(frozen=True)
class Judgement:
    """verdict: AGREE, ALONE (one run converged), DISAGREE or NONE. ranking: names, the best first.
    best: the run to trust, None where there is none. reasons: sentences."""

    verdict: str
    best: str | None
    ranking: tuple[str, ...]
    reasons: tuple[str, ...]


def supporters(
    names: Sequence[str], agree: Mapping[tuple[str, str], bool]
) -> dict[str, frozenset[str]]:
    """Of each run those that agree with it. agree: by pairs of names, in one order each."""
    return {
        name: frozenset(
            other
            for other in names
            if agree.get((name, other), False) or agree.get((other, name), False)
        )
        for name in names
    }


def ranked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """By RULE."""

    def key(one: Candidate) -> tuple[bool, int, float, int]:
        resolution = one.resolution_angstrom
        finest = float("inf") if resolution is None else resolution
        return not one.converged, -len(one.supporters), finest, one.seed

    return sorted(candidates, key=key)


def judge(candidates: Sequence[Candidate]) -> Judgement:
    """Of the runs with one number of classes; of none, NONE."""
    order = ranked(candidates)
    ranking = tuple(each.name for each in order)
    converged = {each.name for each in order if each.converged}
    if not converged:
        why = f"none of {len(order)} runs converged" if order else "no run has ended"
        return Judgement(NONE, None, ranking, (why,))
    best = order[0]
    if len(converged) == 1:
        why = f"{best.name} alone converged: no other run bears it out"
        if best.supporters:
            also = ", ".join(sorted(best.supporters))
            why = f"{best.name} alone converged; its map was found by {also}, too"
        if len(order) == 1:
            why = f"{best.name} is the only run that has ended: run more seeds to see if they agree"
        return Judgement(ALONE, best.name, ranking, (why,))
    with_it = converged & best.supporters
    count = f"{len(with_it) + 1} of {len(converged)} runs that converged"
    others = sorted(converged - with_it - {best.name})
    if 2 * (len(with_it) + 1) <= len(converged):
        why = f"the runs do not agree: no more than {count} show the same"
        return Judgement(DISAGREE, None, ranking, (why,))
    reasons = [f"{count} show the same"]
    if others:
        reasons.append(f"another map was found by {', '.join(others)}")
    return Judgement(AGREE, best.name, ranking, tuple(reasons))
