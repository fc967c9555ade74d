"""evaluate_run: what was planted comes out, whatever frame, hand, order or folder."""

import json

import pytest
import torch

from cryospin.errors import BadDataError, UsageError
from cryospin.evaluate import evaluate_run
from cryospin.io.mrc import read_map, write_map
from cryospin.io.relion import read_particles, write_particles
from cryospin.types import DensityMap


@pytest.mark.parametrize("flipped", [False, True])
def test_finds_the_planted_errors(planted_run, tmp_path, flipped):
    run = planted_run(tmp_path, flipped=flipped)
    found = evaluate_run(run.folder, run.truth_star)
    rotation, shift = found["rotation_error_degrees"], found["shift_error"]
    assert found["hand_flipped"] == flipped
    assert found["particles"] == 400 and found["verdict"] == "converged"
    assert found["run_date"] == "2026-01-02"
    # 1.5 degrees per axis: the median length of a 3D (2D, 1D) Gaussian is 1.54 (1.18, 0.67)
    assert rotation["median"] == pytest.approx(1.5 * 1.54, rel=0.1)
    assert rotation["view"]["median"] == pytest.approx(1.5 * 1.18, rel=0.15)
    assert rotation["in_plane"]["median"] == pytest.approx(1.5 * 0.67, rel=0.2)
    assert rotation["percent_beyond_10"] == 0
    # 0.3 Angstrom per axis, plus the origin's lever: 8.7 Angstrom x 1.5 degrees = 0.23
    assert shift["rms_angstrom"] == pytest.approx(0.5, rel=0.25)
    assert shift["rms_pixel"] == pytest.approx(shift["rms_angstrom"] / 6.0)
    origin = -run.alignment.shift_angstrom
    # in the frame of the run the true centre lies at -o; its sign along z is the hand's
    fitted = torch.tensor(shift["origin_angstrom"], dtype=torch.float64)
    torch.testing.assert_close(fitted, origin, atol=0.2, rtol=0)
    json.dumps(found)


def test_lost_particles_are_counted_and_do_not_pull(planted_run, tmp_path):
    run = planted_run(tmp_path, lost=120, flipped=True)
    found = evaluate_run(run.folder, run.truth_star)
    assert found["hand_flipped"]
    assert found["rotation_error_degrees"]["percent_beyond_10"] == pytest.approx(30, abs=1)
    assert found["shift_error"]["rms_angstrom_within_10_degrees"] < 0.7
    assert found["shift_error"]["rms_angstrom"] > 1.5


def test_modulo_symmetry(planted_run, tmp_path):
    run = planted_run(tmp_path, symmetry="D2")
    assert evaluate_run(run.folder, run.truth_star, symmetry="D2")["rotation_error_degrees"][
        "median"
    ] == pytest.approx(1.5 * 1.54, rel=0.1)
    assert evaluate_run(run.folder, run.truth_star)["rotation_error_degrees"]["mean"] > 60


@pytest.mark.parametrize("flipped", [False, True])
def test_map_against_truth_of_another_grid(planted_run, tmp_path, flipped):
    run = planted_run(tmp_path, flipped=flipped)
    density = read_map(run.folder / "map.mrc")
    generator = torch.Generator().manual_seed(1)
    for name in ("half1.mrc", "half2.mrc"):
        noise = 2.0 * density.values.std() * torch.randn(density.values.shape, generator=generator)
        write_map(run.folder / name, DensityMap(density.values + noise, 6.0))
    found = evaluate_run(run.folder, run.truth_star, run.truth_map)["map"]
    assert found["hand_flipped"] == flipped and found["correlation"] > 0.99
    assert found["fsc_0.5_angstrom"] == pytest.approx(32 * 6.0 / 15)  # to Nyquist
    assert found["half1"]["fsc_0.5_angstrom"] > found["fsc_0.5_angstrom"]
    assert len(found["fsc"]) == 15 and "half2" in found


def test_matches_by_name_across_folders(planted_run, tmp_path, table_writer):
    run = planted_run(tmp_path)
    truth = read_particles(run.truth_star)
    names = [f"{i + 1:06d}@elsewhere/particles.mrcs" for i in range(400)]
    table_writer(tmp_path / "moved.star", names[50:], truth.poses.select(slice(50, None)))
    found = evaluate_run(run.folder, tmp_path / "moved.star")
    assert found["particles"] == 350
    assert found["rotation_error_degrees"]["median"] < 3


def test_halves_in_frames_of_their_own(planted_run, tmp_path):
    """Half-maps put together wrongly show: each half is right, the whole is not."""
    run = planted_run(tmp_path)
    stack = read_particles(run.folder / "particles.star")
    half_set = torch.arange(400) % 2 + 1
    turn = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]).double()
    rotations = stack.poses.rotations.clone()
    rotations[half_set == 2] = rotations[half_set == 2] @ turn
    poses = type(stack.poses)(rotations, stack.poses.shifts_angstrom, stack.poses.confidence)
    write_particles(run.folder / "particles.star", stack, poses, half_set.numpy())
    found = evaluate_run(run.folder, run.truth_star)
    assert found["rotation_error_degrees"]["percent_beyond_10"] > 40
    medians = [found["halves"][h]["rotation_error_degrees"]["median"] for h in ("1", "2")]
    assert max(medians) < 3


def test_what_is_missing_is_said(planted_run, tmp_path, table_writer):
    run = planted_run(tmp_path)
    with pytest.raises(UsageError, match="no such file.*particles.star"):
        evaluate_run(tmp_path, run.truth_star)
    with pytest.raises(UsageError, match="no such file"):
        evaluate_run(run.folder, tmp_path / "nowhere.star")
    with pytest.raises(UsageError, match="no such file"):
        evaluate_run(run.folder, run.truth_star, tmp_path / "nowhere.mrc")
    with pytest.raises(UsageError, match="unknown symmetry"):
        evaluate_run(run.folder, run.truth_star, symmetry="Q3")
    (run.folder / "map.mrc").unlink()
    assert evaluate_run(run.folder, run.truth_star, run.truth_map)["map"] is None


def test_tables_that_do_not_fit_are_refused(planted_run, tmp_path, table_writer):
    run = planted_run(tmp_path)
    poses = read_particles(run.truth_star).poses
    other = [f"{i + 1:06d}@others.mrcs" for i in range(400)]
    table_writer(tmp_path / "others.star", other, poses)
    with pytest.raises(BadDataError, match="none of its images"):
        evaluate_run(run.folder, tmp_path / "others.star")
    names = [f"{i + 1:06d}@particles.mrcs" for i in range(400)]
    table_writer(tmp_path / "bare.star", names, None)
    with pytest.raises(BadDataError, match="no orientations"):
        evaluate_run(run.folder, tmp_path / "bare.star")
    table_writer(tmp_path / "twice.star", [names[0], *names[:-1]], poses)
    with pytest.raises(BadDataError, match="twice"):
        evaluate_run(run.folder, tmp_path / "twice.star")
