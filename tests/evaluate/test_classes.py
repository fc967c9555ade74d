"""Runs with several classes whose errors are known because they were put in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cryospin.errors import BadDataError, UsageError
from cryospin.evaluate import evaluate_run
from cryospin.io.mrc import read_map, write_map
from cryospin.io.relion import read_particles
from cryospin.io.run_folder import class_folder
from cryospin.io.table_writer import write_table
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.mixture import Mixture
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import neutral_ctf
from cryospin.types import Classes, Poses
from cryospin.volumes.alignment import MapAlignment, apply_alignment, poses_after_alignment

BOX, PIXEL, COUNT = 24, 7.0, 120
MOST = (BOX // 2 - 1) / BOX
MOLECULES = tuple(chain_molecule(seed, domains=3, residues_per_domain=60) for seed in range(2))
SHOWN = np.arange(COUNT) % 3 - 1


def make_truth(folder: Path, mixture: Mixture) -> Path:
    poses = draw_poses(COUNT, max_shift_pixel=1.0, pixel_size_angstrom=PIXEL, seed=1)
    simulate(mixture, poses, Microscope(BOX, PIXEL, 1.0, neutral_ctf(COUNT)), folder)
    return folder


def make_run(folder: Path, data: Path, found: np.ndarray, maps: list[Path]) -> Path:
    """Each class in a frame of its own, the second mirrored; poses are exact there."""
    truth = read_particles(data / "truth.star")
    assert truth.poses is not None
    rotations, shifts = truth.poses.rotations.clone(), truth.poses.shifts_angstrom.clone()
    rng = np.random.default_rng(1)
    for number, path in enumerate(maps):
        place = folder / class_folder(number + 1)
        place.mkdir(parents=True)
        turn, shift = Rotation.random(rng=rng).as_matrix(), rng.normal(size=3) * 4.0
        alignment = MapAlignment(torch.tensor(turn), torch.tensor(shift), number == 1, 1.0)
        members = torch.as_tensor(np.flatnonzero(found == number))
        moved = poses_after_alignment(truth.poses.select(members), alignment)
        rotations[members], shifts[members] = moved.rotations, moved.shifts_angstrom
        density = apply_alignment(read_map(path), alignment)
        for name in ("map", "half1", "half2"):
            write_map(place / f"{name}.mrc", density)
        (place / "result.json").write_text(json.dumps({"verdict": "converged"}))
    # a class of nothing has poses that are no numbers
    rotations[torch.as_tensor(found < 0)] = torch.nan
    (folder / "classes.json").write_text(json.dumps({"date": "2026-01-02"}))
    poses = Poses(rotations, shifts, truth.poses.confidence)
    stack = replace(read_particles(data / "particles.star"))
    label = torch.as_tensor(found)
    posterior = torch.nn.functional.one_hot(label.clamp_min(0), max(len(maps), 1)).double()
    write_table(
        folder / "particles.star", stack, "relion-3.1", poses, None, Classes(label, posterior)
    )
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_truth(tmp_path_factory.mktemp("two"), Mixture(MOLECULES, SHOWN))


@pytest.fixture(scope="module")
def swapped(two: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Class 1 is the truth's 2; four particles are in the wrong class, five in none."""
    found = np.where(SHOWN >= 0, 1 - SHOWN, -1)
    found[np.flatnonzero(SHOWN == 0)[:4]] = 0
    found[np.flatnonzero(SHOWN == 1)[:5]] = -1
    maps = [two / "truth_class_02.mrc", two / "truth_class_01.mrc"]
    folder = tmp_path_factory.mktemp("run")
    run = make_run(folder / "run", two, found, maps)
    return evaluate_run(run, two / "truth.star", two)


def test_who_is_where(swapped: dict[str, Any]) -> None:
    classes = swapped["classes"]
    assert classes["confusion"] == [[40, 0, 0], [0, 4, 36], [5, 35, 0]]
    assert classes["accuracy"] == pytest.approx(111 / 120)
    assert 0.7 < classes["adjusted_rand_index"] < 0.9
    assert classes["junk"] == {
        "particles": 40, "found": 45, "recall": 1.0, "precision": pytest.approx(40 / 45)
    }  # fmt: skip
    assert [each["true_class"] for each in classes["each"]] == [2, 1]
    assert [each["particles"] for each in classes["each"]] == [39, 36]
    assert swapped["run_date"] == "2026-01-02" and "rotation_error_degrees" not in swapped
    json.dumps(swapped)


def test_each_class_in_its_own_frame_and_hand(swapped: dict[str, Any]) -> None:
    first, second = swapped["classes"]["each"]
    assert [first["poses"]["particles"], second["poses"]["particles"]] == [35, 36]
    for number, each in enumerate((first, second)):
        assert each["poses"]["hand_flipped"] == each["map"]["hand_flipped"] == (number == 1)
        # tables keep six decimals
        assert each["poses"]["rotation_error_degrees"]["mean"] < 1e-3
        assert each["poses"]["shift_error"]["rms_angstrom"] < 1e-3
        assert each["map"]["correlation"] > 0.98 and "half2" in each["map"]
        assert each["verdict"] == "converged"


def test_images_in_the_wrong_class_score_less(swapped: dict[str, Any]) -> None:
    score = swapped["classes"]["per_image_fsc_auc"]
    assert (score["images"], score["images_scored"]) == (80, 75)
    # 71 of 75 see their own map, moved by splines there and back
    assert 0.95 * MOST < score["unmasked_median"] <= MOST
    assert score["unmasked_mean"] < score["unmasked_median"]


def test_one_structure_that_was_split(tmp_path: Path) -> None:
    """More classes than structures: one has no match, and still shows something."""
    data = make_truth(tmp_path / "data", Mixture(MOLECULES[:1], np.zeros(COUNT, int)))
    found = (np.arange(COUNT) % 4 == 0).astype(int)
    run = make_run(tmp_path / "run", data, found, [data / "truth.mrc"] * 2)
    for true_map in (data / "truth.mrc", data, None):
        classes = evaluate_run(run, data / "truth.star", true_map)["classes"]
        assert classes["accuracy"] == 0.75 and classes["adjusted_rand_index"] == 0.0
        assert [each["true_class"] for each in classes["each"]] == [1, None]
        assert [each["shows"] for each in classes["each"]] == [1, 1]
        assert all(each["poses"]["particles"] for each in classes["each"])
        assert (classes["per_image_fsc_auc"] is None) == (true_map is None)
        assert classes["junk"] is None


def test_conformations_have_maps_of_their_own(tmp_path: Path) -> None:
    data = make_truth(tmp_path / "data", Mixture(MOLECULES, np.arange(COUNT) % 2, (0.0, 90.0)))
    names = [data / f"truth_conformation_00{number}.mrc" for number in (1, 2)]
    run = make_run(tmp_path / "run", data, np.arange(COUNT) % 2, names)
    classes = evaluate_run(run, data / "truth.star", data)["classes"]
    assert classes["per_image_fsc_auc"]["unmasked_mean"] > 0.95 * MOST
    # both are of the one class, and all their particles have a pose in its frame
    assert [each["shows"] for each in classes["each"]] == [1, 1]
    assert [each["poses"]["particles"] for each in classes["each"]] == [60, 60]


def test_a_run_with_one_map(two: Path, tmp_path: Path) -> None:
    """What a consensus reaches; junk has no pose to be wrong about."""
    truth = read_particles(two / "truth.star")
    write_table(tmp_path / "particles.star", truth, "relion-3.1", truth.poses)
    write_map(tmp_path / "map.mrc", read_map(two / "truth_class_01.mrc"))
    found = evaluate_run(tmp_path, two / "truth.star", two)
    assert found["particles"] == 80
    assert found["rotation_error_degrees"]["mean"] < 1e-3
    assert found["map"]["correlation"] > 0.99
    assert found["classes"]["accuracy"] == pytest.approx(1 / 3)
    assert found["classes"]["per_image_fsc_auc"]["images_scored"] == 80
    # with one map, as ever
    assert "classes" not in evaluate_run(tmp_path, two / "truth.star", two / "truth_class_02.mrc")


def test_a_class_without_a_folder_or_a_map(two: Path, tmp_path: Path) -> None:
    found = np.where(SHOWN >= 0, SHOWN + 1, -1)
    maps = [two / "truth_class_01.mrc", two / "truth_class_01.mrc", two / "truth_class_02.mrc"]
    run = make_run(tmp_path / "run", two, found, maps)
    for file in (run / class_folder(1)).iterdir():
        file.unlink()
    (run / class_folder(1)).rmdir()
    (run / class_folder(3) / "map.mrc").unlink()
    classes = evaluate_run(run, two / "truth.star", two)["classes"]
    empty, good, bare = classes["each"]
    assert empty["particles"] == 0 and empty["shows"] is None and empty["poses"] is None
    assert good["map"] is not None and bare["map"] is None and bare["poses"] is not None
    assert classes["accuracy"] == 1.0
    assert classes["per_image_fsc_auc"]["images_scored"] == 40


def test_what_cannot_be_scored_is_refused(two: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", two, SHOWN, [two / "truth_class_01.mrc"] * 2)
    with pytest.raises(UsageError, match="give --map the folder of the true maps"):
        evaluate_run(run, two / "truth.star", two / "truth_class_01.mrc")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no such file: .*truth_class_0"):
        evaluate_run(run, two / "truth.star", tmp_path / "empty")
    table = (run / "particles.star").read_text()
    (run / "particles.star").write_text(table.replace("_rlnClassNumber", "_rlnSomethingElse"))
    with pytest.raises(BadDataError, match="the table tells of no classes"):
        evaluate_run(run, two / "truth.star", two)
    wrong = table.splitlines()
    row = next(i for i, line in enumerate(wrong) if line.startswith("000001@"))
    (run / "particles.star").write_text(table.replace(wrong[row], wrong[row].replace(" 0 ", " x ")))
    with pytest.raises(BadDataError, match="rlnClassNumber: 'x' is no number"):
        evaluate_run(run, two / "truth.star", two)
