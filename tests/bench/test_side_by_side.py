"""Other programs beside cryospin: what is run, scored and told of them, the programs left out."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from cryospin.bench.datasets import Dataset
from cryospin.io.relion import read_particles, write_particles
from cryospin.types import Poses
from markdown_blocks import ROOT
from phantoms import random_turns

Script = dict[str, Any]


@pytest.fixture(scope="module")
def script() -> Iterator[Script]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield runpy.run_path(str(ROOT / "benchmarks" / "side_by_side.py"))


def test_the_page_has_the_kept_rows(script: Script) -> None:
    made = script["table"](script["rows_in"](ROOT / "benchmarks" / "side_by_side.jsonl"))
    assert made.count("\n") > 5 and made in (ROOT / "docs" / "side-by-side.md").read_text()


def say(words: str, code: int = 0) -> tuple[str, ...]:
    return (sys.executable, "-c", f"open('said', 'a').write('{words}'); raise SystemExit({code})")


def test_command_lines_are_one_run(script: Script, tmp_path: Path) -> None:
    """The first lasts and holds memory long enough to be seen, the second lasts as long."""
    lasts = "import time; held = b'x' * 30_000_000; time.sleep(0.6)"
    first, second = (
        (sys.executable, "-c", lasts),
        (sys.executable, "-c", "import time; time.sleep(0.6)"),
    )
    ended = script["run_lines"]([first, say("one"), second, say("two", 4)], (0, 4), tmp_path, None)
    assert ended.exit_code == 4 and (tmp_path / "said").read_text() == "onetwo"
    assert ended.seconds > 1.2 and ended.peak_bytes > 3e7


def test_a_command_line_that_fails_is_the_last(script: Script, tmp_path: Path) -> None:
    ended = script["run_lines"]([say("one", 3), say("two")], (0, 4), tmp_path, None)
    assert ended.exit_code == 3 and (tmp_path / "said").read_text() == "one"


def table_with(dataset: Dataset, rotations: Tensor, path: Path) -> Path:
    truth = read_particles(dataset.truth)
    assert truth.poses is not None
    poses = Poses(rotations, truth.poses.shifts_angstrom, truth.poses.confidence)
    write_particles(path, truth, poses, np.ones(len(truth), dtype=int))
    return path


def test_scores_of_a_table_and_a_map(script: Script, dataset: Dataset) -> None:
    """Every pose 4 degrees off, a fifth of them anywhere, all in another frame."""
    truth = read_particles(dataset.truth)
    assert truth.poses is not None
    rotations = random_turns(len(truth), 1, 4.0) @ truth.poses.rotations.double()
    rotations[::5] = random_turns(len(truth), 2)[::5]
    turned = (rotations @ random_turns(1, 3)[0]).to(truth.poses.rotations.dtype)
    table = table_with(dataset, turned, dataset.folder / "found.star")
    found = script["scored"](dataset, table, dataset.true_map)
    assert found["particles_with_poses"] == len(truth)
    assert 3.0 < found["median"] < 5.0 < found["mean"]
    assert found["beyond_10"] == pytest.approx(0.2, abs=0.02)
    # no shell is beyond the 15th of a box of 32
    assert found["fsc_0.5_angstrom"] == pytest.approx(32 * dataset.pixel_size_angstrom / 15)


def row(**changes: Any) -> dict[str, Any]:
    plain = {
        "key": "a/relion", "structure": "6vxx", "seed": 5, "particles": 2000, "box": 64, "snr": 0.1,
        "program": "RELION InitialModel", "exit": 0, "processor_seconds": 1234.5, "peak_gb": 0.25,
        "median": 4.321, "mean": 9.87, "beyond_10": 0.125, "fsc_0.5_angstrom": 23.456,
    }  # fmt: skip
    return plain | changes


def test_a_row_of_the_table(script: Script) -> None:
    assert script["cells"](row()) == (
        "2,000 x 64", "0.1", "6vxx", "5", "RELION InitialModel", "1234", "0.2", "4.32", "9.87",
        "12.5 %", "23.5",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "told", "stands"),
    [(None, "stopped at the limit", True), (4, "not converged", True), (1, "failed", False)],
)
def test_runs_that_did_not_end_well_say_so(
    script: Script, code: int | None, told: str, stands: bool
) -> None:
    scores = dict.fromkeys(script["SCORES"])
    cells = script["cells"](row(exit=code, **scores))
    assert cells[4] == f"RELION InitialModel ({told})" and cells[-1] == "–"
    assert script["stands"](row(exit=code)) is stands


def test_what_is_known_is_told_alike(script: Script) -> None:
    oracle = script["Oracle"](2.0, 1.5, 0.1, 0.2, 0.3, 1.7, {"fsc_0.5_angstrom": 9.0})
    known = script["known"](oracle)
    assert (known["median"], known["mean"], known["beyond_10"]) == (1.5, 2.0, 0.1)
    cells = script["cells"]({**row(**known), "program": "oracle", "processor_seconds": None})
    assert cells[4:] == ("oracle", "–", "0.2", "1.50", "2.00", "10.0 %", "9.0")


def test_what_relion_is_told(script: Script, dataset: Dataset) -> None:
    larger = replace(dataset, conditions=replace(dataset.conditions, box=64))
    relion = script["Relion"]((5, 10, 5))
    *_, refine = relion.lines(larger, 7)
    told = dict(zip(refine[1:], refine[2:], strict=False))
    assert told["--particle_diameter"] == 240  # 3/4 of 64 pixels of 5 Angstrom
    assert (told["--sgd_ini_iter"], told["--random_seed"], told["--j"]) == (5, 7, 1)
    table, density = relion.results(Path("out"))
    assert (table.name, density.name) == ("run_it020_data.star", "run_it020_class001.mrc")


def test_only_the_last_row_of_a_run_counts(script: Script, tmp_path: Path) -> None:
    import json

    file = tmp_path / "rows.jsonl"
    assert script["rows_in"](file) == []
    file.write_text("".join(json.dumps(row(exit=code)) + "\n" for code in (1, 0)))
    assert [each["exit"] for each in script["rows_in"](file)] == [0]
