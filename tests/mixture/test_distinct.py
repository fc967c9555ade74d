"""Two structures are called two and one is called one, by what both half-sets find alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cryospin.fourier.fsc import shell_sums
from cryospin.fourier.volume import volume_spectrum
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.mixture.distinct import (
    Likeness,
    cohens_kappa,
    compare_classes,
    confusion_between,
    difference_spectrum,
    told_apart,
)
from cryospin.mixture.refinement import class_maps
from cryospin.mixture.split import ClassSplit
from phantoms import Blobs, random_turns
from planted_mixture import BOX, SETTING, STATES, UNRELATED, WHOLE, PlantedMixture

RADIUS = 8.0
QUICK = ClassSplit(radii=(6.0, 8.0), iterations=6, starts=1)


def bools(text: str) -> torch.Tensor:
    return torch.tensor([letter == "1" for letter in text])


@pytest.mark.parametrize(
    ("first", "second", "kappa"),
    [
        ("1100", "1100", 1.0),
        ("1100", "0011", -1.0),
        ("1100", "1010", 0.0),
        ("111100", "111010", (4 / 6 - 5 / 9) / (4 / 9)),
        ("1111", "1111", 0.0),  # there is but one answer
        ("", "", 0.0),
    ],
)
def test_cohens_kappa(first: str, second: str, kappa: float) -> None:
    assert cohens_kappa(bools(first), bools(second)) == pytest.approx(kappa, abs=1e-12)


@pytest.mark.parametrize(
    ("agreement", "same", "count"),
    [
        ((9.0, 9.0, 9.0), (), 3),
        ((9.0, 7.9, 9.0), (), 2),  # the second was found by one half-set only
        ((9.0, 10.0, 9.0), ((0, 2),), 2),
        ((9.0, 10.0, 9.0), ((0, 1), (1, 2)), 1),  # the one that agrees best is both others
        ((9.0, 7.0, 9.0), ((0, 1), (1, 2)), 2),
        ((5.0, 5.0, 5.0), (), 0),
    ],
)
def test_how_many_structures_are_told_apart(
    agreement: tuple[float, ...], same: tuple[tuple[int, int], ...], count: int
) -> None:
    pairs = [
        Likeness(one, other, 0.0 if (one, other) in same else 0.9, 0.9)
        for one, other in ((0, 1), (0, 2), (1, 2))
    ]
    assert told_apart(pairs, agreement, 8.0) == count


def test_a_map_that_is_only_stronger_or_sharper_has_no_difference() -> None:
    density = WHOLE.density(BOX).float()
    power = shell_sums(volume_spectrum(density).abs().square()).sum()

    def share(other: Blobs, factor: float = 1.0) -> float:
        """Of the map's power, beyond its mean, that is none of the other's."""
        difference = difference_spectrum(density, factor * other.density(BOX).float())
        return float(shell_sums(difference.abs().square()).sum() / power)

    assert share(WHOLE) < 1e-10 and share(WHOLE, 3.0) < 1e-10
    assert share(Blobs(*_blurred())) < 3e-3
    assert share(STATES[1]) > 2e-2


def _blurred() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """WHOLE convolved with a Gaussian: all its Gaussians wider by the same."""
    return WHOLE.positions, WHOLE.weights, (WHOLE.sigmas.square() + 0.8).sqrt()


def halves_of(structures: tuple[Blobs, ...], each: int = 100) -> tuple[ClassedHalf, ClassedHalf]:
    """Both half-sets as they are: every image in its true class."""
    first, second = (
        PlantedMixture.of(structures, (each,) * len(structures), seed, signal=30.0)
        for seed in (1, 2)
    )
    return first.classed(), second.classed()


def split_halves(
    structure: Blobs, classes: int, seeds: tuple[int, int] = (1, 2)
) -> tuple[ClassedHalf, ClassedHalf]:
    """Images of one structure, each half-set split as if there were several."""
    first, second = (
        QUICK.run(
            PlantedMixture.of((structure,), (200,), seed, signal=30.0).half,
            classes,
            SETTING,
            np.random.default_rng(seed),
        )
        for seed in seeds
    )
    return first, second


def compared(halves: tuple[ClassedHalf, ClassedHalf]) -> list[Likeness]:
    maps, _ = class_maps(halves, RADIUS, SETTING)
    return compare_classes(halves, maps, RADIUS)


@pytest.mark.parametrize("structures", [STATES[:2], UNRELATED[:2]], ids=["states", "unrelated"])
def test_two_structures_are_two(structures: tuple[Blobs, ...]) -> None:
    [likeness] = compared(halves_of(structures))
    assert not likeness.same
    assert likeness.kappa > 0.9 and likeness.difference > 0.5


@pytest.mark.parametrize("seed", range(1, 41, 10))
def test_one_structure_split_in_two_is_one(seed: int) -> None:
    """Whichever class of one half-set is taken for which of the other."""
    first, second = split_halves(WHOLE, 2, (seed, seed + 1))
    for order in ([0, 1], [1, 0]):
        [likeness] = compared((first, second.ordered(order)))
        assert likeness.same


def found_twice(seed: int, turn: torch.Tensor) -> ClassedHalf:
    """One structure in two frames, of which an image has the right pose in one alone."""
    mixture = PlantedMixture.of((WHOLE,), (200,), seed, signal=30.0)
    first = torch.arange(200) < 100
    lost = random_turns(200, seed).float()
    rotations = mixture.half.rotations
    here = torch.where(first[:, None, None], rotations, lost)
    there = torch.where(first[:, None, None], lost, rotations @ turn)
    sets = (mixture.half.with_poses(rotations=here), mixture.half.with_poses(rotations=there))
    return ClassedHalf(sets, torch.stack([first, ~first], dim=1).float())


def test_one_structure_found_in_two_frames_is_one() -> None:
    turn = random_turns(1, 3)[0].float()
    [likeness] = compared((found_twice(1, turn), found_twice(2, turn)))
    assert likeness.kappa > 0.9 and likeness.difference > 0.5, "as of two structures"
    assert likeness.turned and likeness.same


def test_every_two_of_three_are_compared() -> None:
    found = compared(halves_of(STATES, 60))
    assert [(each.one, each.other) for each in found] == [(0, 1), (0, 2), (1, 2)]
    assert not any(each.same for each in found)


def test_confusion_counts_every_image_once() -> None:
    halves = halves_of(STATES[:2], 60)
    maps, _ = class_maps(halves, RADIUS, SETTING)
    table = confusion_between(halves, maps, RADIUS)
    assert table.sum() == 240 and table.sum(dim=1).tolist() == [120, 120]
    assert table.diagonal().sum() > 0.95 * 240
    # images of none are not counted
    first = ClassedHalf(halves[0].sets, halves[0].weights.clone())
    first.weights[:20] = 0.0
    assert confusion_between((first, halves[1]), maps, RADIUS).sum() == 220


def test_one_shortcoming_is_enough_to_be_one() -> None:
    assert not Likeness(0, 1, 0.5, 0.5).same
    assert Likeness(0, 1, 0.05, 0.5).same
    assert Likeness(0, 1, 0.5, 0.1).same
