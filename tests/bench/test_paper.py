"""The whole benchmark with runs and explorers pretended: what it writes, what it does not redo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cryospin.bench import epochs, paper
from cryospin.bench.datasets import Dataset
from cryospin.bench.ledger import Row
from cryospin.bench.oracle import Oracle
from cryospin.bench.plan import Plan
from cryospin.bench.processes import Ended
from cryospin.bench.runs import Method, run_key
from cryospin.bench.watched import Watched
from cryospin.errors import UsageError

CURVE = [1.0, 0.99, 0.9, 0.7, 0.4, 0.2, 0.1, 0.0]
ORACLE = Oracle(2.0, 1.5, 0.0, 0.1, 0.1, 1.7, {"fsc_0.5_angstrom": 12.0, "fsc": CURVE})


class Pretence:
    """Runs that take no time, counted."""

    def __init__(self, dataset: Dataset, watched: Watched):
        self.dataset, self.watched, self.runs = dataset, watched, 0

    def measured(self, dataset: Dataset, method: Method, *circumstances: Any) -> Row:
        self.runs += 1
        return {
            "key": run_key(dataset, method),
            "recipe": method.recipe,
            "seed": method.seed,
            "box": 32,
            "pixel_size_angstrom": 5.0,
            "exit": 4 if method.recipe == "branch-and-bound" else 0,
            "over_minutes": None,
            "seconds": 30.0,
            "processor_seconds": 50.0,
            "peak_gb": 1.0,
            "mean": 3.0,
            "median": 2.0,
            "beyond_10": 0.01,
            "shift_rms_pixel": None,
            "fsc_0.5_angstrom": 13.0,
            "fsc": CURVE,
            "success": True,
        }

    def run_command(self, *words: Any, limit_seconds: float | None) -> Ended:
        self.runs += 1
        self.watched.write(words[words.index("--out") + 1])
        return Ended(0, 30.0, 50.0, 10**9, "")


@pytest.fixture
def pretence(
    dataset: Dataset, watched: Watched, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Pretence:
    found = Pretence(dataset, watched)
    monkeypatch.setattr(paper, "simulated", lambda *told: dataset)
    monkeypatch.setattr(paper, "oracle_of", lambda *told: ORACLE)
    monkeypatch.setattr(paper, "model_file", lambda name, folder: folder)
    monkeypatch.setattr(paper, "measured", found.measured)
    monkeypatch.setattr(epochs, "run_command", found.run_command)
    monkeypatch.setattr(epochs, "can_be_watched", lambda recipe: recipe != "exhaustive")
    monkeypatch.setattr("cryospin.bench.plan.find_recipe", lambda name: None)
    return found


def plan(dataset: Dataset, **changes: Any) -> Plan:
    recipes = ("exhaustive", "cryospin-paper", "amortized")
    told = {
        "conditions": dataset.conditions,
        "recipes": recipes,
        "structures": (dataset.structure,),
    }
    return Plan(**{**told, "pose_counts": (1000,), **changes})


def test_tables_and_figures(pretence: Pretence, tmp_path: Path) -> None:
    markdown, page = paper.compare(
        plan(pretence.dataset), tmp_path, tmp_path / "out", "cryospin bench paper", print
    )
    text, names = markdown.read_text(), {path.name for path in markdown.parent.glob("*.svg")}
    assert names == {
        "fig2_fsc.svg", "fig3_time.svg", "fig4_epochs.svg", "fig4_paths.svg",
        "fig5_heads_amortized.svg", "fig5_heads_cryospin-paper.svg",
        "fig6_heads_amortized.svg", "fig6_heads_cryospin-paper.svg",
    }  # fmt: skip
    assert all(f"({name})" in text for name in names)
    for words in ("cryospin bench paper", "*oracle*", "1.50", "Table 2", "before the two part"):
        assert words in text
    html = page.read_text()
    assert html.count("data:image/svg+xml") == len(names) and "http" not in html.split("<body")[0]


def test_what_is_finished_is_not_run_again(pretence: Pretence, tmp_path: Path) -> None:
    asked = plan(pretence.dataset, parts=("table1", "table2"))
    pages = [paper.compare(asked, tmp_path, tmp_path / "out", "x", print) for _ in range(2)]
    assert pretence.runs == 3 + 2 and pages[0] == pages[1]
    more = plan(pretence.dataset, parts=("table1",), recipes=("exhaustive", "branch-and-bound"))
    markdown, _ = paper.compare(more, tmp_path, tmp_path / "out", "x", print)
    assert pretence.runs == 6 and "not converged" in markdown.read_text()
    assert not list(markdown.parent.glob("*.svg"))


def test_parts_that_do_not_exist(pretence: Pretence, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fig9"):
        paper.compare(plan(pretence.dataset, parts=("fig9",)), tmp_path, tmp_path, "x", print)
