"""The folder that is written: whole, ours, replaced as a whole, and the same bits each time."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch

from cryospin.errors import UsageError
from cryospin.io.mrc import read_map, write_map
from cryospin.types import DensityMap
from cryospin.variability import front
from cryospin.variability.front import WrittenVariability, variability
from cryospin.variability.outputs import VARIABILITY
from cryospin.volumes.gridded import spherical_support
from variability_toys import BOX, PIXEL

QUICK = {"components": 2, "iterations": 2, "threads": 1}


@pytest.fixture(scope="module")
def written(varied_run: Path, tmp_path_factory: pytest.TempPathFactory) -> WrittenVariability:
    return variability(varied_run, tmp_path_factory.mktemp("written"), **QUICK)


def test_the_folder_holds_maps_coordinates_numbers_and_a_page(written: WrittenVariability) -> None:
    names = {path.name for path in written.folder.iterdir()} - {".cryospin.jsonl", ".cryospin.lock"}
    assert names <= set(VARIABILITY.files)
    assert len(names) == 4 + 2 * (3 + 5)
    assert json.loads((written.folder / "variability.json").read_text()) == written.summary
    assert written.summary["run_date"] == "2026-11-26T12:00:00+00:00"
    shares = [each["share"] for each in written.summary["components"]]
    assert sum(shares) == pytest.approx(1.0)
    one = read_map(written.folder / "component_01.mrc")
    halves = [read_map(written.folder / f"component_01_half{half}.mrc").values for half in (1, 2)]
    assert one.box == BOX and one.pixel_size_angstrom == pytest.approx(PIXEL)
    torch.testing.assert_close(one.values, 0.5 * (halves[0] + halves[1]))
    mean = read_map(written.folder / "mean.mrc").values
    last = read_map(written.folder / "component_01_frame_05.mrc").values
    along = written.summary["components"][0]["frame_coordinates"][4]
    torch.testing.assert_close(last, mean + along * one.values, atol=1e-4, rtol=1e-3)


def test_every_particle_has_its_coordinates(written: WrittenVariability) -> None:
    with open(written.folder / "coordinates.csv", newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["image"] for row in rows[:2]] == ["000001@particles.mrcs", "000002@particles.mrcs"]
    assert [row["half_set"] for row in rows[:3]] == ["1", "2", "1"]
    assert len(rows) == 240
    along = torch.tensor([[float(row["z1"]), float(row["z2"])] for row in rows])
    torch.testing.assert_close(along, written.result.coordinates, atol=1e-5, rtol=0)
    assert {*rows[0]} == {
        "image",
        "half_set",
        "z1",
        "z2",
        "z1_deviation",
        "z2_deviation",
        "scale",
    }


def test_fewer_components_leave_none_of_the_earlier_and_the_seed_decides(
    written: WrittenVariability, varied_run: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(written.folder, tmp_path / "again"))
    (folder / "notes.txt").write_text("mine")
    fewer = variability(varied_run, folder, **(QUICK | {"components": 1}))
    assert not list(folder.glob("component_02*")) and (folder / "notes.txt").exists()
    assert len(fewer.result) == 1
    again = variability(varied_run, folder, **QUICK)
    assert torch.equal(again.result.coordinates, written.result.coordinates)


def test_killed_while_it_wrote_it_is_not_finished(
    written: WrittenVariability, varied_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(written.folder, tmp_path / "again"))

    def killed(path: Path, density: DensityMap) -> None:
        if path.name == "component_01_frame_03.mrc":
            raise KeyboardInterrupt
        write_map(path, density)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("cryospin.variability.outputs.write_map", killed)
        variability(varied_run, folder, **QUICK)
    assert not (folder / "variability.json").exists() and not list(folder.glob("*.tmp"))
    assert variability(varied_run, folder, **QUICK).report.exists()


def test_a_file_in_the_way_is_left_alone(varied_run: Path, tmp_path: Path) -> None:
    (tmp_path / "mean.mrc").write_text("mine")
    with pytest.raises(UsageError, match="in the way"):
        variability(varied_run, tmp_path, **QUICK)
    assert (tmp_path / "mean.mrc").read_text() == "mine"
    with pytest.raises(UsageError, match="is an input or holds one"):
        variability(varied_run, varied_run, **QUICK)


def test_by_default_it_lies_in_the_run(spoilt: Path) -> None:
    found = variability(spoilt, **(QUICK | {"components": 1, "iterations": 1}))
    assert found.folder == spoilt / front.FOLDER and found.report.is_file()


def test_a_mask_keeps_components_inside(varied_run: Path, tmp_path: Path) -> None:
    inside = spherical_support(BOX, 5.0, 2.0)
    write_map(tmp_path / "mask.mrc", DensityMap(inside, PIXEL))
    options = QUICK | {"components": 1, "mask": tmp_path / "mask.mrc"}
    found = variability(varied_run, tmp_path / "out", **options)
    component = read_map(found.folder / "component_01.mrc").values
    # the mask is on a coarser grid: what is finer than that spreads a little
    outside = component[inside == 0].square().sum() / component.square().sum()
    assert outside < 1e-2


def test_a_mask_of_another_box_is_refused(varied_run: Path, tmp_path: Path) -> None:
    write_map(tmp_path / "mask.mrc", DensityMap(torch.ones(16, 16, 16), PIXEL))
    with pytest.raises(UsageError, match="16 voxels, the run's maps 32"):
        variability(varied_run, tmp_path / "out", mask=tmp_path / "mask.mrc", **QUICK)
