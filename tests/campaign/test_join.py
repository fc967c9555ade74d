"""Runs that have ended are compared, the best is named, and what has not ended is told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from campaign_results import made_up, molecule, poses, seen_otherwise, write_classes, write_run
from cryospin.campaign import compare as compare_module
from cryospin.campaign.claims import take
from cryospin.campaign.join import best_name, join, name_best
from cryospin.campaign.plan import CLAIMS, JOINED, Campaign
from cryospin.errors import BadDataError, UsageError
from cryospin.io.lock import LOCK, sole_use
from cryospin.volumes.alignment import MapAlignment


@pytest.fixture(autouse=True)
def no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of maps that have nothing in common, which takes seconds."""
    still = MapAlignment(torch.eye(3).double(), torch.zeros(3).double(), False, 0.0)
    monkeypatch.setattr(compare_module, "align_maps", lambda moving, reference, resolution: still)


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """Seeds 1 and 3 show one molecule, seed 2 another; seed 4 is at work, 5 waits."""
    campaign = made_up(tmp_path / "all", 5)
    write_run(campaign.folder / "seed-1", molecule(), poses())
    write_run(campaign.folder / "seed-2", molecule(7), poses(8), resolution=12.0)
    write_run(campaign.folder / "seed-3", *seen_otherwise(5, True), resolution=15.0)
    return campaign


def test_the_best_is_named_and_the_others_told(campaign: Campaign) -> None:
    (campaign.folder / CLAIMS).mkdir()
    with take(campaign.folder / CLAIMS, "seed-4"):
        steps: list[tuple[str, int, int]] = []
        told = join(campaign.folder, progress=lambda *step: steps.append(step))
    assert told == json.loads((campaign.folder / JOINED).read_text())
    assert steps == [("compare runs", number, 3) for number in (1, 2, 3)]
    (group,) = told["groups"]
    assert (group["verdict"], group["best"]) == ("agree", "seed-3")
    assert group["reasons"] == [
        "2 of 3 runs that converged show the same",
        "another map was found by seed-2",
    ]
    runs = {run["name"]: run for run in group["runs"]}
    assert list(runs) == ["seed-3", "seed-1", "seed-2", "seed-4", "seed-5"]
    assert [run["rank"] for run in runs.values()] == [1, 2, 3, None, None]
    states = [run["state"] for run in runs.values()]
    assert states == ["ended", "ended", "ended", "working", "waiting"]
    assert f"process {os.getpid()}" in runs["seed-4"]["told"]
    assert runs["seed-1"]["agrees_with"] == ["seed-3"] and runs["seed-2"]["agrees_with"] == []
    assert runs["seed-3"]["resolution_angstrom"] == 15.0 and runs["seed-3"]["evidence"]
    assert len(group["compared"]) == 3
    best = campaign.folder / "best"
    assert os.readlink(best) == "seed-3" and (best / "map.mrc").exists()


def test_again_when_more_have_ended(campaign: Campaign) -> None:
    join(campaign.folder)
    write_run(campaign.folder / "seed-4", molecule(7), poses(8), resolution=12.0)
    group = join(campaign.folder)["groups"][0]
    assert (group["verdict"], group["best"]) == ("disagree", None)
    assert not os.path.lexists(campaign.folder / "best")
    write_run(campaign.folder / "seed-5", *seen_otherwise(6, False), resolution=15.0)
    assert join(campaign.folder)["groups"][0]["best"] == "seed-3"
    assert os.readlink(campaign.folder / "best") == "seed-3"


def test_nothing_has_ended(tmp_path: Path) -> None:
    campaign = made_up(tmp_path / "all", 2)
    (group,) = join(campaign.folder)["groups"]
    assert (group["verdict"], group["best"], group["compared"]) == ("none", None, [])
    assert [run["state"] for run in group["runs"]] == ["waiting", "waiting"]
    assert (campaign.folder / JOINED).exists() and not (campaign.folder / "best").exists()


def test_each_number_of_classes_has_its_own_best(tmp_path: Path) -> None:
    campaign = made_up(tmp_path / "all", 2, classes=(1, 2))
    write_run(campaign.folder / "seed-2", molecule(), poses())
    number = np.arange(len(poses())) % 2
    for name in ("classes-2-seed-1", "classes-2-seed-2"):
        found = [(molecule(), poses()), (molecule(7), poses())]
        write_classes(campaign.folder / name, found, number)
    one, two = join(campaign.folder)["groups"]
    assert (one["classes"], one["verdict"], one["best"]) == (1, "alone", "seed-2")
    assert (two["classes"], two["verdict"], two["best"]) == (2, "agree", "classes-2-seed-1")
    assert os.readlink(campaign.folder / "best") == "seed-2"
    assert os.readlink(campaign.folder / "best-classes-2") == "classes-2-seed-1"
    assert best_name("auto") == "best-classes-auto"


def test_where_no_links_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(link: Path, target: str) -> None:
        raise OSError(1, "Operation not permitted")

    name_best(tmp_path / "best", "seed-1")
    monkeypatch.setattr(Path, "symlink_to", refuse)
    (tmp_path / "best").unlink()
    name_best(tmp_path / "best", "seed-2")
    assert (tmp_path / "best").read_text() == "seed-2\n"
    name_best(tmp_path / "best", None)
    assert list(tmp_path.iterdir()) == []


def test_what_stops_it(campaign: Campaign, tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match=r"jobs\.json"):
        join(tmp_path)
    with (
        sole_use(campaign.folder, campaign.folder / LOCK),
        pytest.raises(UsageError, match="in use"),
    ):
        join(campaign.folder)
    (campaign.folder / "best").write_text("mine")
    with pytest.raises(UsageError, match="best is in the way"):
        join(campaign.folder)
    assert (campaign.folder / "best").read_text() == "mine"
    (campaign.folder / "best").unlink()
    (campaign.folder / "seed-2/map.mrc").write_bytes(b"cut")
    with pytest.raises(BadDataError, match="seed-2/map.mrc"):
        join(campaign.folder)
    assert not (campaign.folder / JOINED).exists()
