"""Two runs are laid upon one another by their poses, or by their maps, in any frame and hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from campaign_results import (
    CLAIMED,
    COUNT,
    made_up,
    molecule,
    placement,
    poses,
    seen_otherwise,
    write_classes,
    write_run,
)
from cryospin.campaign import compare as module
from cryospin.campaign.compare import SAME_WITHIN, compare, placed_by_poses
from cryospin.campaign.ended import read_ended
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.types import Poses
from cryospin.volumes.alignment import MapAlignment, apply_alignment, poses_after_alignment


@pytest.mark.parametrize("flipped", [False, True])
def test_poses_tell_how_the_maps_lie(flipped: bool) -> None:
    there = placement(3, flipped)
    found, errors = placed_by_poses(poses(), poses_after_alignment(poses(), there), "C1")
    assert found.flipped == flipped and errors.max() < 1e-3
    torch.testing.assert_close(found.rotation, there.rotation, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.shift_angstrom, there.shift_angstrom, atol=1e-4, rtol=0)


def test_also_where_some_poses_are_wrong() -> None:
    there = placement(3, True)
    moved, wrong = poses_after_alignment(poses(), there), poses(9)
    half = torch.arange(COUNT) % 3 == 0
    rotations = torch.where(half[:, None, None], wrong.rotations.double(), moved.rotations)
    spoilt = Poses(rotations, moved.shifts_angstrom, moved.confidence)
    found, errors = placed_by_poses(poses(), spoilt, "C1")
    assert found.flipped and int((errors < 1.0).sum()) >= int((~half).sum())
    # a third of wrong poses turns the frame by next to nothing
    torch.testing.assert_close(found.rotation, there.rotation, atol=0.02, rtol=0)


def test_the_map_moved_so_is_the_other(tmp_path: Path) -> None:
    density, seen = seen_otherwise(5, True)
    found, _ = placed_by_poses(poses(), seen, "C1")
    curve = fourier_shell_correlation(apply_alignment(molecule(), found).values, density.values)
    assert curve[:8].min() > 0.999


@pytest.mark.parametrize("flipped", [False, True])
def test_one_molecule_in_two_frames(tmp_path: Path, flipped: bool) -> None:
    campaign = made_up(tmp_path / "all", 2)
    write_run(campaign.folder / "seed-1", molecule(), poses())
    write_run(campaign.folder / "seed-2", *seen_otherwise(5, flipped), resolution=18.0)
    found = compare(*(read_ended(campaign, run) for run in campaign.runs))
    assert found.names == ("seed-1", "seed-2") and found.agree
    assert (found.particles, found.within, found.rand_index) == (COUNT, 1.0, None)
    (only,) = found.maps
    assert (only.classes, only.alignment.flipped, only.by_poses) == ((1, 1), flipped, True)
    assert only.limit_angstrom == SAME_WITHIN * 18.0
    told = found.summary()
    assert told["agree"] and told["maps"][0]["placed_by"] == "poses"


@pytest.mark.parametrize(("agrees", "resolution"), [(True, CLAIMED), (False, 4.0)])
def test_where_poses_have_nothing_in_common_maps_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agrees: bool, resolution: float
) -> None:
    """As of a symmetric particle whose symmetry was not imposed. A resolution that is claimed has
    to be borne out."""
    campaign = made_up(tmp_path / "all", 2)
    density, _ = seen_otherwise(5, True)
    write_run(campaign.folder / "seed-1", density, poses(8), resolution=resolution)
    write_run(campaign.folder / "seed-2", molecule(), poses(), resolution=resolution)
    monkeypatch.setattr(
        module, "align_maps", lambda moving, reference, resolution: placement(5, True)
    )
    found = compare(*(read_ended(campaign, run) for run in campaign.runs))
    assert found.within < 0.3 and not found.maps[0].by_poses
    assert found.maps[0].alignment.flipped and found.agree == agrees


def test_two_molecules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither claims anything: then nothing can be borne out."""
    campaign = made_up(tmp_path / "all", 3)
    write_run(campaign.folder / "seed-1", molecule(), poses())
    write_run(campaign.folder / "seed-2", molecule(7), poses(8), verdict="failed")
    write_run(campaign.folder / "seed-3", molecule(), poses(), verdict="failed")
    still = MapAlignment(torch.eye(3).double(), torch.zeros(3).double(), False, 0.0)
    monkeypatch.setattr(module, "align_maps", lambda moving, reference, resolution: still)
    first, second, third = (read_ended(campaign, run) for run in campaign.runs)
    assert not compare(first, second).agree
    assert compare(first, third).agree  # it did not converge, but bears the first one out
    assert compare(third, second).maps[0].limit_angstrom is None
    assert not compare(third, second).agree


def test_classes_are_matched(tmp_path: Path) -> None:
    campaign = made_up(tmp_path / "all", 3, classes=(2,))
    number = np.arange(COUNT) % 2
    number[:4] = -1
    one, two = (molecule(), poses()), (molecule(7), poses())
    write_classes(campaign.folder / campaign.runs[0].name, [one, two], number)
    moved = seen_otherwise(5, True)
    other = np.where(number < 0, -1, 1 - number)
    write_classes(campaign.folder / campaign.runs[1].name, [two, moved], other)
    write_classes(campaign.folder / campaign.runs[2].name, [one], np.minimum(number, 0))
    first, second, third = (read_ended(campaign, run) for run in campaign.runs)
    found = compare(first, second)
    assert found.agree and found.rand_index == 1.0
    assert [each.classes for each in found.maps] == [(1, 2), (2, 1)]
    assert [each.alignment.flipped for each in found.maps] == [True, False]
    # images of no class have no pose
    assert found.within == (COUNT - 4) / COUNT
    # a class that the other lacks
    assert not compare(first, third).agree
