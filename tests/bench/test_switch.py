"""`bench switch` on made-up rows, and its arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryospin.bench.datasets import Dataset
from cryospin.bench.figures import switch_figure
from cryospin.bench.switch import SwitchPlan, branched, gap_table, switch_table
from cryospin.explore.winner_search import WinnerSearch
from cryospin.reconstruct.direct_stage import DirectStage
from cryospin.reconstruct.semi_amortised import SemiAmortised
from cryospin.reconstruct.switching import SwitchRule


def row(automatic: float, *fixed: float) -> dict[str, Any]:
    return {
        "structure": "6vxx",
        "snr": 0.1,
        "automatic": {"step": 300, "median_degrees": automatic, "beyond_10": 0.01},
        "fixed": [
            {
                "step": 100 * i,
                "encoder_degrees": 10 * error,
                "median_degrees": error,
                "beyond_10": 0.5,
            }
            for i, error in enumerate(fixed, 1)
        ],
    }


def test_within_five_per_cent_of_the_best_fixed_moment() -> None:
    table = switch_table([row(2.09, 40.0, 2.0), row(2.11, 2.0, 40.0)], (100, 200, 400))
    assert [line[-1] for line in table.rows] == ["yes", "no"]
    assert table.rows[0][2:4] == ("40.00 (50.0 %)", "2.00 (50.0 %)")
    assert table.rows[0][4] == "–"  # a moment that was not measured
    assert table.rows[0][5:7] == ("2.09 (1.0 %)", "300")


def test_the_encoder_beside_what_the_direct_stage_makes_of_it(tmp_path: Path) -> None:
    rows = [row(2.0, 3.0, 1.5)]
    encoder, direct = gap_table(rows, (100, 200, 400)).rows
    assert encoder[2:] == ("encoder", "30.00", "15.00", "–")
    assert direct[2:] == ("after the direct stage", "3.00", "1.50", "–")
    drawn = switch_figure({"6vxx": rows[0]["fixed"]}, tmp_path / "fig4.svg").read_text()
    assert "fully amortised" in drawn


def test_moments_branch_off_one_training(dataset: Dataset) -> None:
    """It goes on after the automatic switch, and a branch leaves the training as it was."""
    method = SemiAmortised(
        search=WinnerSearch(heads=2, batch=20, width=16, march=4, last_radius=6.0),
        switch=SwitchRule(every=2, most_steps=6),
        direct=DirectStage(rounds=1),
        last_radius=8.0,
    )
    plan = SwitchPlan((dataset.structure,), (dataset.conditions,), (2, 6, 8), seed=1)
    found = branched(dataset, plan, method)
    assert [moment["step"] for moment in found["fixed"]] == [2, 6, 8]
    assert 4 <= found["automatic"]["step"] <= 6
    assert [check["step"] for check in found["checks"]] == [2, 4, 6, 8]
    alone = branched(dataset, SwitchPlan((), (), (8,), seed=1), method)
    assert alone["fixed"][0] == found["fixed"][-1]
