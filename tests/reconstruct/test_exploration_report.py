"""What `result.json` says of exploration, and which starts count as rivals."""

from __future__ import annotations

import pytest

from cryospin.reconstruct.exploration_report import ExplorationReport, StartReport

PLAIN = StartReport(1, 1, 12.5)
BEST = StartReport(1, 1, 12.5, agrees_to_shell=9.0, rival=False)
RIVAL = StartReport(1, 2, 12.0, agrees_to_shell=4.0, rival=True)


@pytest.mark.parametrize(
    ("half1", "half2", "rivals"),
    [
        ((), (), None),
        ((PLAIN,), (PLAIN,), None),
        ((BEST, RIVAL), (PLAIN,), 1),
        ((BEST,), (BEST,), 0),
    ],
)
def test_rivals_are_counted_where_starts_were_compared(
    half1: tuple[StartReport, ...], half2: tuple[StartReport, ...], rivals: int | None
) -> None:
    assert ExplorationReport(True, 9.0, half1, half2).rivals == rivals


def test_a_summary_holds_what_is_known_of_each_start() -> None:
    report = ExplorationReport(False, 7.5, (PLAIN,), (BEST, RIVAL), still_rising=1)
    assert report.summary() == {
        "half1": [{"attempt": 1, "start": 1, "score": 12.5}],
        "half2": [
            {"attempt": 1, "start": 1, "score": 12.5, "agrees_to_shell": 9.0, "rival": False},
            {"attempt": 1, "start": 2, "score": 12.0, "agrees_to_shell": 4.0, "rival": True},
        ],
        "still_rising": 1,
        "agreement_radius": 7.5,
        "agreed": False,
    }


def test_a_run_from_a_map_had_no_starts() -> None:
    report = ExplorationReport(True, from_a_map=True)
    assert report.summary() == {"initial_map": True, "agreed": True}
