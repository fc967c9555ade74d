"""What a run that has ended tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from campaign_results import CLAIMED, COUNT, made_up, molecule, poses, write_classes, write_run
from cryospin.campaign.ended import read_ended
from cryospin.errors import BadDataError
from cryospin.io.run_folder import NOT_CONVERGED


def test_one_that_converged_and_one_that_did_not(tmp_path: Path) -> None:
    campaign = made_up(tmp_path / "all", 2)
    write_run(campaign.folder / "seed-1", molecule(), poses())
    write_run(campaign.folder / "seed-2", molecule(), poses(), verdict="ambiguous")
    good, bad = (read_ended(campaign, run) for run in campaign.runs)
    assert (good.name, good.converged, good.resolution_angstrom) == ("seed-1", True, CLAIMED)
    assert (bad.verdict, bad.converged, bad.resolution_angstrom) == ("ambiguous", False, None)
    assert good.maps[0].place == campaign.folder / "seed-1"
    assert bad.maps[0].place == campaign.folder / "seed-2" / NOT_CONVERGED
    assert list(good.evidence.values()) == [0.9]
    for run in (good, bad):
        assert len(run.stack) == COUNT and run.symmetry == "C1"
        assert run.members(run.stack).tolist() == [0] * COUNT


def test_one_with_classes(tmp_path: Path) -> None:
    campaign = made_up(tmp_path / "all", 1, classes=(2,))
    number = np.arange(COUNT) % 3 - 1
    folder = campaign.folder / campaign.runs[0].name
    write_classes(folder, [(molecule(), poses()), (molecule(7), poses())], number)
    run = read_ended(campaign, campaign.runs[0])
    assert [each.place.name for each in run.maps] == ["class_01", "class_02"]
    assert run.members(run.stack).tolist() == number.tolist()
    assert run.resolution_angstrom == CLAIMED and run.evidence == {}


def test_a_table_that_lacks_its_classes(tmp_path: Path) -> None:
    campaign = made_up(tmp_path / "all", 1, classes=(2,))
    folder = campaign.folder / campaign.runs[0].name
    write_run(folder, molecule(), poses())
    run = read_ended(campaign, campaign.runs[0])
    with pytest.raises(BadDataError, match="rlnClassNumber"):
        run.members(run.stack)


def test_a_result_that_is_damaged(tmp_path: Path) -> None:
    campaign = made_up(tmp_path / "all", 1)
    (campaign.folder / "seed-1").mkdir()
    (campaign.folder / "seed-1/result.json").write_text("{")
    with pytest.raises(BadDataError, match="seed-1/result.json"):
        read_ended(campaign, campaign.runs[0])
