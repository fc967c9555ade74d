"""The patient schedule: when it ends, when it takes a step back, and that it finds the map."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cryospin.explore.exhaustive import ExhaustiveSearch
from cryospin.explore.grid_step import GridStep
from cryospin.explore.patience import (
    Patience,
    PatientSearch,
    balanced,
    dropped,
    rises,
    watched,
)
from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.types import DensityMap
from cryospin.volumes.alignment import align_maps, apply_alignment
from phantoms import Blobs, PlantedParticles

IDENTITY = torch.eye(3)[None]
BOX, RADIUS = 24, 6.0
SETTING = Setting(IDENTITY, 1.0, support_radius=0.4, seed=1, shared_seed=1)
BLOBS = Blobs.random(2, spread=2.5, sigma=1.2)
QUICK = Patience(
    below_nats=1e9,
    march_times_nats=200.0,
    shortest_march=6,
    first_images_times_nats=1000.0,
    fewest_images=100,
    first_radius=3.0,
    cycle=3,
)


def searched(
    method: Patience = QUICK, count: int = 600, signal: float = 18.0, seed: int = 1
) -> PatientSearch:
    particles = PlantedParticles.of(BLOBS, FourierDisk.of(BOX), count, 5, signal=signal).particles
    setting = replace(SETTING, seed=seed)
    step = GridStep.of(particles, setting, 1, RADIUS, fine_from=2 * RADIUS)
    return PatientSearch(method, step, nats=10.0)


@pytest.mark.parametrize(
    ("rise", "spread", "expected"),
    [
        (1.0, 0.0, True),
        (0.0, 0.0, False),
        (-1.0, 0.0, False),
        (0.3, 1.0, True),  # an error of 0.1: three times it
        (0.19, 1.0, False),
        (0.1, 10.0, False),
    ],
)
def test_a_rise_is_more_than_twice_its_error(rise: float, spread: float, expected: bool) -> None:
    """100 images; what each of them gains differs, what they had before does not matter."""
    before = torch.linspace(-30.0, 80.0, 100)
    gain = torch.linspace(-1.0, 1.0, 100)
    assert rises(before, before + rise + spread * gain / gain.std()) is expected


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        ((1.0, 2.0, 3.0), False),  # nothing was compared on this grid before
        ((3.0, 1.0, 1.0, 2.9), True),
        ((3.0, 1.0, 1.0, 3.0), False),
        ((1.0, 9.0, 9.0, 2.0), False),  # less than the last, which another grid saw
    ],
)
def test_a_drop_is_seen_on_the_same_grid(evidence: tuple[float, ...], expected: bool) -> None:
    assert dropped(evidence, 3) is expected


def test_evidence_is_compared_from_cycle_to_cycle() -> None:
    """Two cycles at the least; it ends with the first that does not rise."""
    climb = replace(searched()._begun(torch.arange(600)), evidence=(0.0,) * 6)
    gains = [0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 3.0, 2.0, 1.0]
    rising = []
    for gain in gains:
        climb = replace(climb, evidence=(*climb.evidence, gain))
        climb = watched(climb, torch.full((50,), gain), 3)
        rising.append(climb.rising)
    assert rising == [True] * 8 + [False]
    assert climb.score() == (2.0, 0.0)


@pytest.mark.parametrize("nats", [36.0, 20.0, 10.0, 5.0, 2.0, 1e-3])
def test_less_information_takes_longer_and_more_images(nats: float) -> None:
    method = Patience()
    march, most = method.march(nats), method.most_iterations(nats)
    assert march % method.cycle == 0 and (most - march) % method.cycle == 0
    assert most - march >= 3 * method.cycle
    assert march >= method.march(2 * nats)
    batches = [method.batch(i, nats, 100_000) for i in range(most)]
    assert batches == sorted(batches) and batches[-1] <= 100_000
    assert batches[march:] == [method.batch(most, nats, 100_000)] * (most - march)
    assert all(method.batch(most, nats, few) == few for few in (20, 500, 5_000))
    radii = [method.radius(i, nats, 12.0) for i in range(most)]
    assert radii[0] == 4.0 and radii == sorted(radii) and radii[march:] == [12.0] * (most - march)


def test_a_map_that_explains_less_is_given_up() -> None:
    """The search goes back to the last EM map, and from there on without momentum."""
    search = searched()
    order = torch.arange(600)
    climb = search._next(search._next(search._begun(order), order), order)
    assert not torch.equal(climb.references[0], climb.mapped[0])
    too_good = replace(climb, evidence=(1e6, *climb.evidence))
    back = search._next(too_good, order)
    assert back.references is climb.mapped and back.mapped is climb.mapped
    assert back.sums is climb.sums
    onward = search._next(climb, order)
    step = onward.mapped[0] - climb.mapped[0]
    assert torch.allclose(onward.references[0], onward.mapped[0] + QUICK.momentum * step)


@pytest.mark.parametrize("rising", [True, False])
def test_the_last_cycle_is_plain(rising: bool) -> None:
    """Whether the search came to its end or was cut off; which of the two stays as it was told."""
    search = searched(replace(QUICK, held=0.0), count=200)
    order = torch.arange(200)
    start = search._begun(order)
    cut = search.most_iterations - QUICK.cycle
    climb = replace(start, evidence=(1e6,) * cut, rising=rising)
    for number in range(1, QUICK.cycle + 1):
        climb = search._next(climb, order)
        assert climb.references is climb.mapped and climb.sums is not start.sums
        assert (climb.plain, climb.rising) == (number, rising)


def found_correlation(seed: int) -> float:
    """Of the map found with the true one, over the shells within 5."""
    search = searched(seed=seed)
    climb = search.run()
    assert not climb.rising and climb.done < search.most_iterations
    grid = len(search.step.map.support)
    pixel = BOX / grid
    found = DensityMap(search.step.map.density(climb.sums[0], RADIUS), pixel)
    true = DensityMap(BLOBS.density(grid, BOX).float(), pixel)
    moved = apply_alignment(found, align_maps(found, true))
    return float(fourier_shell_correlation(moved.values, true.values)[:5].mean())


def test_random_starts_find_the_map_and_end_by_themselves() -> None:
    """All of three; wrong maps correlate below 0.6."""
    assert min(found_correlation(seed) for seed in (1, 2, 3)) > 0.8


@pytest.mark.parametrize(("below", "patient"), [(1e9, True), (0.0, False)])
def test_information_decides_who_is_searched_patiently(below: float, patient: bool) -> None:
    particles = PlantedParticles.of(BLOBS, FourierDisk.of(BOX), 120, 5, signal=18.0).particles
    search = ExhaustiveSearch(
        fewest_iterations=2,
        most_iterations=2,
        final_iterations=1,
        first_radius=3.0,
        race_radius=4.0,
        last_radius=5.0,
        shifts_per_axis=1,
        patience=replace(QUICK, below_nats=below, held=2.0),
    )
    told: list[tuple[str, int, int]] = []
    found = search.run(particles, SETTING, lambda *event: told.append(event))
    assert (found.rising is not None) is patient
    assert len(found.scores) == (1 if patient else 2)
    assert told[-1][0] == ("patient start" if patient else "best start")


def test_classes_are_held_alike_to_the_end() -> None:
    """Two maps at once: a class that takes more than its part is made less likely."""
    search = replace(searched(count=300), classes=2)
    climb = search._begun(torch.arange(300))
    assert len(climb.references) == len(climb.sums) == 2
    assert not torch.equal(climb.references[0], climb.references[1])
    onward = search._next(climb, torch.arange(300))
    torch.testing.assert_close(onward.fractions[-1].sum(), torch.tensor(1.0), rtol=0, atol=1e-5)
    larger = int(onward.fractions[-1][1] > 0.5)
    assert onward.prior[larger] < 0.5
    last = search._next(replace(onward, rising=False), torch.arange(300))
    torch.testing.assert_close(last.prior, balanced(onward.prior, last.fractions[-1]))


def test_balancing_makes_the_rare_likelier() -> None:
    prior = balanced(torch.tensor([0.5, 0.5]), torch.tensor([0.8, 0.2]))
    torch.testing.assert_close(prior, torch.tensor([1 / 3, 2 / 3]))
    even = torch.full((3,), 1 / 3)
    torch.testing.assert_close(balanced(even, even), even)
