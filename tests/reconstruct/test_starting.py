"""Two half-sets from starts of their own: which is explored again, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from cryospin.explore.exploration import Exploration
from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.particles.prepare import PreparedParticles
from cryospin.reconstruct.exploration_report import ExplorationReport
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.starting import IndependentStarts
from cryospin.refine.assign import GlobalAssignment, PolishedHypotheses
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.refine.halves import sums_of
from cryospin.rotations.grid import OrientationGrid
from cryospin.rotations.symmetry import symmetry_group
from phantoms import Blobs, PlantedParticles, random_turns

RADIUS = 10.0
IDENTITY = torch.eye(3)[None]
SETTING = Setting(IDENTITY, 1.0, seed=4, shared_seed=4)
BLOBS = Blobs.random(1, spread=3.5, sigma=1.0)
HALVES = [
    PlantedParticles.of(BLOBS, FourierDisk.of(32), 300, seed, signal=60.0).half_set()
    for seed in (1, 2)
]


@dataclass(frozen=True)
class Remembered:
    """Tells true poses, but in the attempts named (half, attempt) of so many images wrong ones;
    scores do not tell which: they rise by `gained` from attempt to attempt."""

    wrong: dict[tuple[int, int], float]
    scores: tuple[float, float] = (100.0, 100.0)
    last_radius: float = RADIUS
    one_thread: bool = False
    gained: float = 1.0
    evidence_error: float | None = None
    rising: bool | None = None

    def run(
        self,
        particles: PreparedParticles,
        setting: Setting,
        *circumstances: Any,
        **more: Any,
    ) -> Exploration:
        attempt, half = divmod(setting.seed % 1000, 10)
        found = HALVES[half - 1]
        rotations = found.rotations.clone()
        count = int(self.wrong.get((half, attempt), 0.0) * len(rotations))
        rotations[:count] = random_turns(count, 100 + attempt).float()
        found = found.with_poses(rotations=rotations)
        hypotheses = found.poses.alone()
        score = self.scores[half - 1] + self.gained * attempt
        sums = sums_of(found, RADIUS, IDENTITY)
        evidence = None
        if self.evidence_error is not None:
            spread = self.evidence_error * 10  # of a hundred images
            evidence = score + spread * torch.linspace(-(3**0.5), 3**0.5, 100)
        return Exploration(
            sums, RADIUS, (score,), 50.0, hypotheses, rising=self.rising, evidence=evidence
        )


def started(
    search: Remembered, misplaced: float = IndependentStarts.misplaced
) -> tuple[ExplorationReport, list[Any]]:
    """How exploring went, and the log of comparisons."""
    polish = GaussNewton(steps=2)
    starts = IndependentStarts(
        search,
        GlobalAssignment(OrientationGrid.of(1, 6), polish=polish),
        PolishedHypotheses(keep=1, polish=polish),
        misplaced=misplaced,
    )
    compared: list[Any] = []
    monitor = Monitor(
        listeners=(lambda event: compared.append(event) if "gain_elsewhere" in event else None,)
    )
    monitor.begin(32, 3.0)
    prepared = HALVES[0].particles, HALVES[1].particles
    _, report = starts.run(prepared, SETTING, monitor)
    return report, compared


def attempts(report: ExplorationReport) -> tuple[int, int]:
    return len(report.half1), len(report.half2)


@pytest.mark.parametrize("scores", [(100.0, 100.0), (100.0, 170.0)])
def test_two_good_halves_are_left_alone_whatever_their_scores(scores: tuple[float, float]) -> None:
    report, compared = started(Remembered({}, scores))
    assert report.agreed and attempts(report) == (1, 1)
    assert len(compared) == 1 and max(compared[0]["gain_elsewhere"]) < 0


@pytest.mark.parametrize(
    ("scores", "error", "expected"),
    [
        ((100.0, 170.0), 10.0, (2, 1)),
        ((170.0, 100.0), 10.0, (1, 2)),
        ((100.0, 170.0), 40.0, (1, 1)),
    ],
)
def test_a_half_explained_worse_than_the_other_is_explored_again(
    scores: tuple[float, float], error: float, expected: tuple[int, int]
) -> None:
    """By twice the error of the difference of the means."""
    report, _ = started(Remembered({}, scores, gained=65.0, evidence_error=error))
    assert report.agreed and attempts(report) == expected


@pytest.mark.parametrize(("gained", "expected"), [(1.0, (4, 1)), (0.0, (2, 1))])
def test_a_half_that_stays_behind_is_explored_while_it_gains(
    gained: float, expected: tuple[int, int]
) -> None:
    search = Remembered({}, (100.0, 170.0), gained=gained, evidence_error=10.0)
    report, _ = started(search)
    assert report.agreed and attempts(report) == expected


@pytest.mark.parametrize("half", [1, 2])
def test_a_half_with_a_third_of_its_images_misplaced_is_explored_again(half: int) -> None:
    """Its score does not give it away: the images are others."""
    report, compared = started(Remembered({(half, 0): 0.33}))
    assert report.agreed and attempts(report) == ((2, 1) if half == 1 else (1, 2))
    assert compared[0]["gain_elsewhere"][half - 1] > 0.005
    assert max(compared[1]["gain_elsewhere"]) < 0


def test_an_agreeing_pair_is_not_given_up_for_one_that_does_not_agree() -> None:
    """Half 1 is worth exploring again, but every later attempt of it, of higher score, fails."""
    worse = {(1, attempt): 1.0 for attempt in (1, 2, 3)}
    report, _ = started(Remembered({(1, 0): 0.33} | worse))
    assert attempts(report) == (4, 1)
    assert report.agreed and report.agreement_radius >= 8.0


@pytest.mark.parametrize(("misplaced", "again"), [(0.0, True), (1.0, False)])
def test_how_much_better_the_other_map_must_be_is_told(misplaced: float, again: bool) -> None:
    """A third misplaced is a gain of some per cent: beyond nothing, and far from all."""
    report, compared = started(Remembered({(2, 0): 0.33}), misplaced)
    assert 0.005 < compared[0]["gain_elsewhere"][1] < 1.0
    assert attempts(report) == (1, 2 if again else 1)


def test_maps_that_do_not_agree_are_told_after_the_last_attempt() -> None:
    everywhere = {(half, attempt): 1.0 for half in (1, 2) for attempt in range(4)}
    report, compared = started(Remembered(everywhere))
    assert not report.agreed and sum(attempts(report)) == 2 + 3
    assert not compared  # maps of nothing are not compared


@pytest.mark.parametrize(
    ("rising", "gained", "each"),
    [
        (False, 1.0, (2, 2)),  # the error is 50: twice the same end, in either half
        (False, 60.0, (4, 1)),
        (True, 1.0, (4, 1)),  # they were stopped: where they would have ended is not known
        (None, 1.0, (4, 1)),
    ],
)
def test_starts_that_end_at_the_same_evidence_are_not_made_again(
    rising: bool | None, gained: float, each: tuple[int, int]
) -> None:
    """Nothing agrees here, and half 1 always explains less."""
    everywhere = {(half, attempt): 1.0 for half in (1, 2) for attempt in range(4)}
    search = Remembered(everywhere, (100.0, 1000.0), gained=gained, rising=rising)
    report, _ = started(search)
    assert not report.agreed and attempts(report) == each


@pytest.mark.parametrize(("rising", "halves"), [(True, 2), (False, 0), (None, 0)])
def test_halves_stopped_while_the_evidence_rose_are_counted(
    rising: bool | None, halves: int
) -> None:
    report, _ = started(Remembered({}, rising=rising))
    assert report.agreed and report.still_rising == halves


@dataclass(frozen=True)
class Judged:
    """Ends at this evidence of a few held-out images where no group is imposed."""

    evidence: tuple[float, ...] | None
    last_radius: float = RADIUS
    one_thread: bool = False

    def run(
        self, particles: PreparedParticles, setting: Setting, *rest: Any, **more: Any
    ) -> Exploration:
        assert len(setting.operators) == 1
        of_images = None if self.evidence is None else torch.tensor(self.evidence)
        sums = sums_of(HALVES[0], RADIUS, IDENTITY)
        return Exploration(sums, RADIUS, (0.0,), 0.0, evidence=of_images)


@pytest.mark.parametrize(
    ("without", "imposed", "better"),
    [
        # each image by 2, give or take 0.1
        ((12.0, 52.1, 31.9, 92.0), (10.0, 50.0, 30.0, 90.0), True),
        # by as much in the mean, by chance
        ((18.0, 50.0, 30.0, 90.0), (10.0, 50.0, 30.0, 90.0), False),
        ((8.0, 48.1, 27.9, 88.0), (10.0, 50.0, 30.0, 90.0), False),
        (None, (10.0, 50.0, 30.0, 90.0), False),
        ((12.0, 52.1, 31.9, 92.0), None, False),
    ],
    ids=["better", "by chance", "worse", "unknown", "was unknown"],
)
def test_images_say_whether_a_group_was_imposed_to_no_good(
    without: tuple[float, ...] | None, imposed: tuple[float, ...] | None, better: bool
) -> None:
    starts = IndependentStarts(Judged(without), GlobalAssignment(OrientationGrid.of(1, 6)))
    before = None if imposed is None else torch.tensor(imposed)
    explored = ExplorationReport(agreed=True, evidence=(before, before))
    prepared = HALVES[0].particles, HALVES[1].particles
    imposing = replace(SETTING, operators=symmetry_group("C2").float())
    assert starts.better_without(prepared, explored, imposing, Monitor()) is better
