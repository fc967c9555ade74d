"""The comparison of runs as a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from campaign_results import made_up, molecule, poses, seen_otherwise, write_run
from cryospin.cli.main import main


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0)


def test_the_runs_are_compared_in_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign = made_up(tmp_path / "all", 7)
    write_run(campaign.folder / "seed-1", molecule(), poses())
    write_run(campaign.folder / "seed-2", *seen_otherwise(5, True), resolution=15.0)
    assert run("join", campaign.folder) == 0
    told = capsys.readouterr().out
    rows = [line.split("│")[1:-1] for line in told.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert cells[0] == ["seed-2", "converged", "15.00 A", "seed-1", "", ""]
    assert cells[1] == ["seed-1", "converged", "16.00 A", "seed-2", "100 %", "other"]
    assert cells[2][:2] == ["seed-3", "waiting"]
    assert "5 of 7 jobs have not ended" in told
    assert "agree: 2 of 2 runs that converged show the same" in told
    assert f"best: {campaign.folder / 'seed-2'}" in told
    for seed in (3, 4, 5):
        write_run(campaign.folder / f"seed-{seed}", *seen_otherwise(seed, True))
    assert run("join", campaign.folder) == 0
    assert "4 others" in capsys.readouterr().out
