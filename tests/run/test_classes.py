"""`reconstruct` with classes from table to folder: what is written, told, and gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cryospin import recipes
from cryospin.errors import BadDataError
from cryospin.io.relion import read_particles
from cryospin.mixture.class_search import ClassSearch
from cryospin.mixture.joint import PatientClasses
from cryospin.mixture.outputs import clear_classes
from cryospin.mixture.winner_classes import WinnerClasses
from cryospin.run import job, solve
from cryospin.run.finished import Run
from cryospin.run.reconstruct import reconstruct
from mixture_toys import COUNT, METHOD, cut_down_classes, simulated
from reconstruct_toys import toy
from report.test_page import Page


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("simulated"))


@pytest.fixture(scope="module")
def toys() -> object:
    with pytest.MonkeyPatch.context() as patch:
        cut_down_classes(patch)
        patch.setattr(recipes, "find_recipe", lambda name: METHOD.one)
        patch.setattr(solve, "Mixture", lambda method, search, refinement: METHOD)
        patch.setattr(job, "LEAST_OF_A_CLASS", 20)
        yield


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory, toys: object) -> Run:
    return reconstruct(table, tmp_path_factory.mktemp("run") / "out", classes=2, seed=1)


class SeenError(Exception):
    """Enough was seen."""


def test_a_recipe_brings_its_joint_search(
    table: Path, tmp_path: Path, toys: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[ClassSearch] = []

    def mixture(method: object, search: ClassSearch, refinement: object) -> None:
        seen.append(search)
        raise SeenError

    monkeypatch.setattr(recipes, "find_recipe", toy)
    monkeypatch.setattr(solve, "Mixture", mixture)
    for recipe in ("cryospin", "exhaustive"):
        with pytest.raises(SeenError):
            reconstruct(table, tmp_path / recipe, classes=2, recipe=recipe)
    assert [type(each.joint) for each in seen] == [WinnerClasses, PatientClasses]


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.*")}


def test_every_class_has_a_folder_a_sentence_and_a_page(run: Run) -> None:
    out = run.folder
    told = json.loads((out / "result.json").read_text())
    assert run.verdict == told["verdict"] and run.result is None
    assert [folder for folder, _ in run.classes] == [out / "class_01", out / "class_02"]
    for number, (folder, sentence) in enumerate(run.classes, 1):
        own = json.loads((folder / "result.json").read_text())
        assert sentence.startswith(f"class {number} (") and own["verdict"] in sentence
        assert own["settings"]["class"] == number and own["settings"]["classes"] == 2
        assert Page((folder / "report.html").read_text()).ids >= {"verdict", "map"}
    assert run.report == out / "report.html"
    page = Page(run.report.read_text())
    assert page.ids >= {"structures", "class-1", "class-2", "confusion", "compared", "time"}
    assert "problems" not in page.ids
    assert not (out / "checkpoints").exists()


def test_every_particle_is_in_one_class_or_none(run: Run) -> None:
    whole = read_particles(run.folder / "particles.star")
    numbers = whole.classes.number
    told = json.loads((run.folder / "classes.json").read_text())
    assert (
        len(whole)
        == COUNT
        == sum(each["particles"] for each in told["classes"]) + int((numbers < 0).sum())
    )
    for number, each in enumerate(told["classes"]):
        own = read_particles(job.particles_of_class(run.folder, number + 1))
        assert len(own) == each["particles"] == int((numbers == number).sum())
        assert set(own.uids) == {whole.uids[row] for row in (numbers == number).nonzero().flatten()}


def test_what_happened_is_in_the_log(run: Run) -> None:
    lines = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    found = {line["event"] for line in lines}
    assert found >= {"classified", "paired", "compared classes", "junk", "class"}
    classified = [line for line in lines if line["event"] == "classified"]
    assert [line["half"] for line in classified[:4]] == [1, 2, 1, 2]
    assert not any(line["jointly"] for line in classified[:2])
    assert np.isfinite([line["evidence"] for line in classified]).all()
    stages = {line["stage"] for line in lines if line["event"] == "stage"}
    assert stages >= {"classify", "join", "refine classes", "postprocess", "write"}


def test_a_finished_run_is_left_as_it_is(run: Run, table: Path) -> None:
    before = contents(run.folder)
    again = reconstruct(table, run.folder, classes=2, seed=1, resume=True)
    assert (again.verdict, again.report) == (run.verdict, run.report)
    assert contents(run.folder) == before


def test_too_few_particles_leave_no_folder(table: Path, tmp_path: Path, toys: object) -> None:
    with pytest.raises(BadDataError, match="120 particles are too few for 7 classes"):
        reconstruct(table, tmp_path / "out", classes=7)
    assert not (tmp_path / "out").exists()


def test_a_run_of_one_map_takes_the_place_of_one_with_classes(run: Run, tmp_path: Path) -> None:
    """Last, for it empties the folder."""
    clear_classes(run.folder)
    assert not list(run.folder.glob("class*"))
