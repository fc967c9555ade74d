"""`cryospin symmetry` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from cryospin.cli.main import main
from cryospin.io.mrc import read_map, write_map
from cryospin.rotations.symmetry import symmetry_group
from cryospin.types import DensityMap
from cryospin.volumes.alignment import MapAlignment, apply_alignment
from phantoms import Blobs, random_turns

BOX, PIXEL = 32, 5.0


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.fixture
def halves(tmp_path: Path) -> tuple[Path, Path]:
    """Of a C3 particle, about an axis that is not z."""
    unit = Blobs.random(3, count=8).positions + torch.tensor([5.0, 0.0, 1.0]).double()
    turned = torch.einsum("gij,nj->gni", symmetry_group("C3"), unit).flatten(0, 1)
    places = turned @ random_turns(1, 4)[0].double().T
    blobs = Blobs(places, torch.ones(24).double(), torch.full((24,), 1.5).double())
    density = blobs.density(BOX).float()
    generator = torch.Generator().manual_seed(0)
    paths = tmp_path / "half1.mrc", tmp_path / "half2.mrc"
    for path in paths:
        noise = density.std() * torch.randn(density.shape, generator=generator)
        write_map(path, DensityMap(density + noise, PIXEL))
    return paths


def test_names_the_group_and_writes_the_map_in_its_axes(
    halves: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("symmetry", *halves, "--out", tmp_path / "placed.mrc", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["name"] == "C3" and told["tried"][-1]["kept"] > 0.8
    placed = read_map(tmp_path / "placed.mrc")
    third = MapAlignment(symmetry_group("C3")[1], torch.zeros(3), False, 1.0)
    again = apply_alignment(placed, third)
    inner = slice(8, 24), slice(8, 24), slice(8, 24)
    both = torch.stack([placed.values[inner].flatten(), again.values[inner].flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.8


def test_says_it_in_words(halves: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("symmetry", *halves) == 0
    assert "looks C3, compared to" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, code, says",
    [
        (["half1.mrc"], 2, "both half-maps, or --resolution"),
        (["half1.mrc", "no.mrc"], 3, "no.mrc"),
        (["half1.mrc", "half2.mrc", "--out", "half2.mrc"], 2, "half2.mrc"),
    ],
)
def test_what_cannot_be_done_is_said(
    halves: tuple[Path, Path],
    arguments: list[str],
    code: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(halves[0].parent)
    before = halves[1].read_bytes()
    assert run("symmetry", *arguments) == code
    assert says in capsys.readouterr().err
    assert halves[1].read_bytes() == before
