"""The verdict study: its stacks are what they claim to be, its counts add up."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from cryospin.bench import verdict_cases, verdicts
from cryospin.bench.processes import Ended
from cryospin.bench.verdict_cases import BALL, SHELL, SHIFT_PIXEL, Case, Truth, cases, made
from cryospin.errors import UsageError
from cryospin.io.mrc import read_map, write_map
from cryospin.io.relion import read_particles
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.models import read_model
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf
from cryospin.types import DensityMap
from cryospin.volumes.gridded import spherical_support

BOX = 16


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two molecules of two sizes, as maps."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name, pixel in (("small", 4.0), ("large", 6.0)):
        write_map(folder / f"{name}.mrc", DensityMap(spherical_support(BOX, 4.0, 2.0), pixel))
    return folder


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cryospin simulate` without the seconds a process takes to begin."""

    def run_command(command: str, model: Path, *words: Any) -> Ended:
        told = dict(zip(words[::2], words[1::2], strict=True))
        count, pixel, seed = told["--particles"], told["--pixel-size"], told["--seed"]
        poses = draw_poses(
            count,
            max_shift_pixel=SHIFT_PIXEL,
            pixel_size_angstrom=pixel,
            views=told["--views"],
            seed=seed,
        )
        microscope = Microscope(
            told["--box"], pixel, told["--snr"], draw_ctf(count, seed), seed=seed
        )
        simulate(read_model(model, pixel), poses, microscope, told["--out"])
        return Ended(0, 1.0, 1.0, 1, "")

    monkeypatch.setattr(verdict_cases, "run_command", run_command)


def test_cases_are_many_and_different() -> None:
    found = cases()
    assert len(found) >= 60 and len({case.key for case in found}) == len(found)
    assert sum(case.has_poses for case in found) < len(found) - 15
    fresh = cases(100)
    assert not {case.key for case in fresh} & {case.key for case in found}
    assert [case.kind for case in fresh] == [case.kind for case in found]
    assert {case.kind for case in found} >= {"noise", "featureless", "wrong pixel size", "few"}


def test_two_molecules_share_a_table(models: Path, tmp_path: Path) -> None:
    case = Case("two molecules", ("small", "large"), particles=10, box=BOX)
    table, truths = made(case, models, tmp_path / "out")
    stack = read_particles(table)
    assert len(stack) == 10 and len(truths) == 2
    first, second = (read_particles(truth.table) for truth in truths)
    # one pixel size, that of the larger molecule, which fills two thirds of the box
    assert first.pixel_size_angstrom == second.pixel_size_angstrom == stack.pixel_size_angstrom
    assert len(first) == len(second) == 5
    assert len(set(stack.uids)) == 10 and not set(first.uids) & set(second.uids)


def test_junk_is_part_of_the_stack_but_of_no_truth(models: Path, tmp_path: Path) -> None:
    case = Case("half junk", ("small",), particles=10, box=BOX, junk=0.4)
    table, truths = made(case, models, tmp_path)
    assert len(read_particles(table)) == 10
    assert len(read_particles(truths[0].table)) == 6


def test_a_wrong_pixel_size_is_told_of_images_and_truth_alike(models: Path, tmp_path: Path) -> None:
    case = Case("wrong pixel size", ("small",), particles=4, box=BOX, claimed=1.25)
    table, truths = made(case, models, tmp_path)
    told = read_particles(table).pixel_size_angstrom
    assert told == pytest.approx(1.25 * read_particles(truths[0].table).pixel_size_angstrom)
    assert read_map(truths[0].map).pixel_size_angstrom == pytest.approx(told, rel=1e-4)


@pytest.mark.parametrize("name", [BALL, SHELL])
def test_featureless_particles_need_no_model(name: str, tmp_path: Path) -> None:
    table, _ = made(Case("featureless", (name,), particles=4, box=32), tmp_path, tmp_path / "out")
    assert len(read_particles(table)) == 4


def test_kinds_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def measured(case: Case, models: Path, folder: Path) -> dict[str, Any]:
        asked.append(case.key)
        right = case.kind == "plain"
        verdict = "ambiguous" if case.claimed > 1 else "converged"
        return {
            "key": case.key,
            "kind": case.kind,
            "verdict": verdict,
            "right": right,
            "poses": right,
        }

    monkeypatch.setattr(verdicts, "_measured", measured)
    kinds = ("plain", "wrong pixel size")
    markdown, _ = verdicts.study(tmp_path, tmp_path / "out", "the command", print, kinds)
    text = markdown.read_text()
    assert (
        "12 runs. 9 say converged: 3 of them falsely, and 0 with" in text and "the command" in text
    )
    assert "| plain | 6 | 0 | 0 | 0 | 0 | 0 | 0 |" in text
    assert "| wrong pixel size | 0 | 3 | 0 | 3 | 0 | 0 | 0 |" in text
    verdicts.study(tmp_path, tmp_path / "out", "the command", print, kinds)
    assert len(asked) == 12, "rows that are there are not measured again"
    with pytest.raises(UsageError, match="dark matter"):
        verdicts.study(tmp_path, tmp_path / "out", "x", print, ("dark matter",))


@pytest.mark.parametrize(
    "true, claimed, beyond, right, poses",
    [
        (10.0, 9.0, 0.05, True, True),
        (11.0, 9.0, 0.05, False, True),  # claims too much
        (10.0, math.nan, 0.0, False, True),  # claims nothing
        (None, 9.0, 0.0, False, True),
        (10.0, 9.0, 0.5, True, True),  # as many as a search in the true map leaves
        (10.0, 9.0, 0.6, True, False),
    ],
)
def test_what_is_right(
    true: float | None,
    claimed: float,
    beyond: float,
    right: bool,
    poses: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    score = {
        "rotation_error_degrees": {"median": 1.0, "percent_beyond_10": 100 * beyond},
        "map": {"fsc_0.5_angstrom": true},
    }

    def reconstructed(*words: Any) -> Ended:
        run = tmp_path / "run"
        run.mkdir(exist_ok=True)
        told = dict.fromkeys(("reasons", "warnings", "evidence", "resolution_angstrom"))
        (run / "result.json").write_text(json.dumps({"verdict": "converged", **told}))
        (run / "fsc.star").write_text(f"data_general\n\n_rlnFinalResolution {claimed}\n")
        return Ended(0, 1.0, 1.0, 1, "")

    truth = Truth(tmp_path, tmp_path, "C1")
    monkeypatch.setattr(verdicts, "made", lambda *told: (tmp_path, (truth,)))
    monkeypatch.setattr(verdicts, "run_command", reconstructed)
    monkeypatch.setattr(verdicts, "evaluate_run", lambda *told: score)
    monkeypatch.setattr(verdicts, "lost_in_true_map", lambda *told: 0.4)
    row = verdicts._measured(Case("plain", ("3jb9",)), tmp_path, tmp_path)
    assert (row["right"], row["poses"]) == (right, poses)
    row = verdicts._measured(Case("noise", ("3jb9",), snr=1e-6), tmp_path, tmp_path)
    assert (row["right"], row["poses"]) == (False, False)
