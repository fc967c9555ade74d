"""Fewer classes than were searched for: those without images, those that are one structure, and
those that half-sets do not find alike."""

from __future__ import annotations

import torch

from cryospin.mixture.classed_half import ClassedHalf, ClassedHalves

_LEAST_OF_A_HALF = 50  # images of a class, below which there is none
_FEW = 0.05  # of all images: a class that is given up unless half-sets find it alike


def without_the_empty(
    halves: ClassedHalves, agreement: tuple[float, ...]
) -> tuple[ClassedHalves, tuple[float, ...]]:
    """Without classes that have next to no images in one of the half-sets. Where all are such, the
    images are one class, with no junk: the verdict on it says what is wrong."""
    kept = [
        c
        for c in range(halves[0].classes)
        if min(int((half.numbers == c).sum()) for half in halves) >= _LEAST_OF_A_HALF
    ]
    if len(kept) == halves[0].classes:
        return halves, agreement
    if not kept:
        best = max(range(halves[0].classes), key=lambda c: agreement[c])
        first, second = (
            ClassedHalf((half.sets[best],), torch.ones_like(half.weights[:, :1])) for half in halves
        )
        return (first, second), (agreement[best],)

    def keep(half: ClassedHalf) -> ClassedHalf:
        weights = half.weights[:, kept]
        lost = half.weights.sum(dim=1) / weights.sum(dim=1).clamp_min(1e-9)
        return ClassedHalf(tuple(half.sets[c] for c in kept), weights * lost[:, None])

    return (keep(halves[0]), keep(halves[1])), tuple(agreement[c] for c in kept)


def joined(
    halves: ClassedHalves, agreement: tuple[float, ...], one: int, other: int
) -> tuple[ClassedHalves, tuple[float, ...]]:
    """Two classes as the one of them that half-sets agree on better: every image has a pose in
    its map already."""
    kept, gone = (one, other) if agreement[one] >= agreement[other] else (other, one)
    others = [c for c in range(halves[0].classes) if c != gone]

    def join(half: ClassedHalf) -> ClassedHalf:
        weights = half.weights.clone()
        weights[:, kept] += weights[:, gone]
        return ClassedHalf(tuple(half.sets[c] for c in others), weights[:, others])

    first, second = halves
    return (join(first), join(second)), tuple(agreement[c] for c in others)


def given_up(
    halves: ClassedHalves, agreement: tuple[float, ...], least: float, fewer_will_do: bool
) -> int | None:
    """A class that half-sets did not find alike, if it may go.

    least: radius to which its maps must agree. fewer_will_do: whether fewer classes are wanted;
    where as many were asked for, only one of few images goes. The only one stays.
    """
    poorest = min(range(len(agreement)), key=lambda c: agreement[c])
    if len(agreement) == 1 or agreement[poorest] >= least:
        return None
    few = max(float(half.fractions[poorest]) for half in halves) < _FEW
    return poorest if few or fewer_will_do else None


def dissolved(
    halves: ClassedHalves, agreement: tuple[float, ...], gone: int
) -> tuple[ClassedHalves, tuple[float, ...]]:
    """Without a class: its images are junk until they are found to belong elsewhere."""
    others = [c for c in range(halves[0].classes) if c != gone]
    first, second = (
        ClassedHalf(tuple(half.sets[c] for c in others), half.weights[:, others]) for half in halves
    )
    return (first, second), tuple(agreement[c] for c in others)
