"""What is read for the report agrees with what the io layer says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cryospin.io.mrc import read_map
from cryospin.io.star import StarBlock, StarFile
from cryospin.io.star_writer import write_star
from cryospin.report.inputs import read_poses, read_run
from cryospin.types import Poses

# the table holds six decimals, of degrees and of Angstrom
TABLE_PRECISION = 1e-5


def test_poses_are_those_of_the_io_layer(run_directory: Path, poses: Poses) -> None:
    read = read_run(run_directory).poses
    assert read is not None and read.confidence is not None
    third_row = poses.rotations[:, 2].numpy()
    np.testing.assert_allclose(read.directions, third_row, atol=TABLE_PRECISION)
    np.testing.assert_allclose(read.shifts_angstrom, poses.shifts_angstrom, atol=TABLE_PRECISION)
    np.testing.assert_allclose(read.confidence, poses.confidence, atol=TABLE_PRECISION)


def test_origins_of_relion_3_0_are_pixels(tmp_path: Path) -> None:
    columns = {"rlnAngleRot": "0", "rlnAngleTilt": "90", "rlnOriginX": "2", "rlnOriginY": "-1"}
    block = StarBlock(columns={name: [value] for name, value in columns.items()})
    write_star(tmp_path / "old.star", StarFile({"": block}))
    table = read_poses(tmp_path / "old.star", {"pixel_size_angstrom": 1.5})
    np.testing.assert_allclose(table.shifts_angstrom, [[-3.0, 1.5]])
    np.testing.assert_allclose(table.directions, [[1.0, 0.0, 0.0]], atol=1e-12)
    assert table.confidence is None


def test_maps_and_curves(run_directory: Path, result: dict[str, Any]) -> None:
    run = read_run(run_directory)
    assert run.result == result
    assert run.problems == ()
    assert run.map is not None and run.fsc is not None
    np.testing.assert_array_equal(run.map, read_map(run_directory / "map.mrc").values)
    assert set(run.fsc.curves) == {"corrected", "masked", "unmasked", "phase-randomised"}
    assert len(run.fsc.frequency) == 15


def test_a_map_of_nan_is_a_problem(run_directory: Path) -> None:
    content = bytearray((run_directory / "half1.mrc").read_bytes())
    content[1024:1028] = np.float32("nan").tobytes()
    (run_directory / "half1.mrc").write_bytes(content)
    run = read_run(run_directory)
    assert run.half1 is None
    assert any("half1.mrc" in problem and "not finite" in problem for problem in run.problems)
