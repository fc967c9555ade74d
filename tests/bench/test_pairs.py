"""`cryospin bench pairs` at toy size: every part has its rows, once; scores are scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cryospin.bench import pairs
from cryospin.bench.pair_cases import PairCase, decibel, made, told_apart
from cryospin.bench.pairs import PARTS, PairPlan, compare_pairs
from cryospin.bench.structures import Structure
from cryospin.errors import UsageError

ATOM = "ATOM  {0:5d}  CA  ALA A{0:4d}    {1:8.3f}{2:8.3f}{3:8.3f}  1.00  0.00           C"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    points = torch.randn(60, 3, generator=torch.Generator().manual_seed(1)) * 12.0
    points = points * torch.tensor([1.0, 0.7, 0.4])
    lines = [ATOM.format(i, *point) for i, point in enumerate(points.tolist(), 1)]
    (folder / "blob.pdb").write_text("\n".join(lines) + "\nEND\n")
    return folder


PLAN = PairPlan(
    (Structure("blob"),),
    parts=("planted", "unseen"),
    seeds=(1,),
    particles=60,
    box=32,
    snrs=(2.0,),
    planted=60,
)


def test_rows_are_measured_once_and_told(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    page, _ = compare_pairs(PLAN, models, tmp_path, "the command", told.append)
    text = page.read_text()
    for word in ("common lines, voted", "constant", "random", "success", "the command"):
        assert word in text
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert len(rows) == len(told) == 1 + 2 * 4
    by_method = {row["method"]: row for row in rows if "/blob_n60_d32_snrinf" in row["key"]}
    assert by_method["common lines, voted"]["median"] < 10.0
    assert by_method["constant"]["mean"] > 60.0 and by_method["random"]["mean"] > 60.0
    monkeypatch.setattr(pairs, "solved", None)
    compare_pairs(PLAN, models, tmp_path, "the command", told.append)
    assert len(told) == len(rows)


def test_snr_in_the_particle_is_what_was_asked_for(models: Path, tmp_path: Path) -> None:
    """The same images have less of it in the box."""
    case = PairCase(Structure("blob"), 60, 32, snr_in_particle=1.0, seed=2)
    data = made(case, models, tmp_path)
    assert 0.05 < data.snr_in_box < 0.6
    assert len(data.particles) == len(data.truth) == 60
    assert decibel(0.5) == pytest.approx(-3.01, abs=0.01)


def test_lost_images_are_told_apart_by_their_score() -> None:
    lost = torch.tensor([True, True, False, False])
    assert told_apart(torch.tensor([0.1, 0.2, 0.3, 0.4]), lost) == 1.0
    assert told_apart(torch.tensor([0.3, 0.3, 0.3, 0.3]), lost) == 0.5
    assert told_apart(torch.ones(4), torch.zeros(4).bool()) is None


def test_unknown_parts_are_refused(models: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no part is called 'x'"):
        compare_pairs(replace(PLAN, parts=("x",)), models, tmp_path, "", print)
    assert all(hasattr(pairs._Bench, part) for part in PARTS)
