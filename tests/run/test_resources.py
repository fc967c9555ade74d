"""Images that memory does not hold are read from a file: told, bounded by the disk, cleaned up."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from cryospin import recipes, report
from cryospin.errors import InterruptedRunError, ResourceError
from cryospin.io.relion import read_particles
from cryospin.particles import stored
from cryospin.particles.plan import MemoryPlan
from cryospin.run import resources, solve
from cryospin.run.finished import Run
from cryospin.run.reconstruct import reconstruct
from cryospin.run.resources import resources_for
from cryospin.types import ParticleStack
from options import options_with
from reconstruct_toys import cut_down, toy

BOX = 24


@pytest.fixture(scope="module")
def stack(table: Path) -> ParticleStack:
    return read_particles(table)


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_down(monkeypatch)
    monkeypatch.setattr(recipes, "find_recipe", lambda name: toy("exhaustive"))
    monkeypatch.setattr(report, "write_report", lambda run: run / "report.html")


def run(table: Path, out: Path, **asked: Any) -> Run:
    return reconstruct(table, out, device="cpu", checkpoint_seconds=0.0, **asked)


def test_in_memory_where_there_is_room(stack: ParticleStack) -> None:
    found = resources_for(options_with(device="cpu", memory_gb=4.0), stack)
    assert not found.from_file and len(found.notes) == 1


def test_from_a_file_where_there_is_none(stack: ParticleStack) -> None:
    found = resources_for(options_with(device="cpu", memory_gb=0.5), stack)
    assert found.from_file
    assert "and 0.5 GB are to be used (--memory): they are read from a file" in found.notes[1]
    assert "even so about" in found.notes[2]  # of memory, for the libraries alone


@pytest.mark.parametrize("asked", [{"recipe": "cryospin"}, {"classes": 2}], ids=str)
def test_others_stay_in_memory_and_say_so(stack: ParticleStack, asked: dict[str, Any]) -> None:
    found = resources_for(options_with(device="cpu", memory_gb=0.5, **asked), stack)
    assert not found.from_file and "only --recipe exhaustive" in found.notes[1]


def test_what_a_card_does_not_hold(stack: ParticleStack, monkeypatch: pytest.MonkeyPatch) -> None:
    card = torch.device("cuda", 0)
    monkeypatch.setattr(resources, "find_device", lambda name: (card, "computing on a card"))
    base = resources.card_plan(0, BOX, BOX / 2, 0).bytes
    monkeypatch.setattr(resources, "free_bytes", lambda device: base + 20 * 3000)
    found = resources_for(options_with(device="cuda"), stack)
    assert found.device == card and found.from_file and "of 150 images" in found.notes[1]
    with pytest.raises(ResourceError, match="would fit"):
        resources_for(options_with(device="cuda", classes=2), stack)
    found = resources_for(options_with(device="auto", classes=2), stack)
    assert found.device.type == "cpu" and not found.from_file and "would fit" in found.notes[0]


def test_the_result_is_that_of_memory_and_the_file_goes(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 32 bits, which so few images need to find their way to the same minima."""
    monkeypatch.setattr(stored, "_LARGEST", 0.0)
    seen: set[str] = set()

    def look(line: dict[str, Any]) -> None:
        seen.update(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.coefficients"))

    scratch = tmp_path / "a b"
    scratch.mkdir()
    plain = run(table, tmp_path / "plain")
    assert not seen
    for place, more in (("out", {}), ("there", {"scratch": scratch})):
        found = run(table, tmp_path / place, memory_gb=0.5, listeners=(look,), **more)
        assert plain.result is not None and found.result is not None
        turns = plain.result.poses.rotations.mT @ found.result.poses.rotations
        cosine = (torch.einsum("nii->n", turns) - 1) / 2
        assert (cosine > 0.999).double().mean() > 0.9
        assert found.verdict == plain.verdict
    assert {Path(path).name for path in seen} == {"half1.coefficients", "half2.coefficients"}
    assert {Path(path).parts[0] for path in seen} == {"out", "a b"}
    assert not [*tmp_path.rglob("*.coefficients")] and not [*scratch.iterdir()]


def test_killed_and_resumed(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that is there is taken again, and the result has the same bits."""
    plain = run(table, tmp_path / "plain", memory_gb=0.5)

    def stop(line: dict[str, Any]) -> None:
        if line.get("event") == "joined":
            os.kill(os.getpid(), signal.SIGTERM)

    out = tmp_path / "out"
    with pytest.raises(InterruptedRunError):
        run(table, out, memory_gb=0.5, listeners=(stop,))
    assert len([*out.rglob("*.coefficients")]) == 2

    def refuse(*arguments: object) -> None:
        raise AssertionError("the images were written again")

    monkeypatch.setattr(stored, "_written", refuse)
    # on a machine with room for them: what was begun from a file goes on from it
    found = run(table, out, resume=True)
    assert plain.result is not None and found.result is not None
    assert torch.equal(found.result.map.values, plain.result.map.values)
    assert torch.equal(found.result.poses.rotations, plain.result.poses.rotations)
    assert not [*out.rglob("*.coefficients")]


def test_no_room_on_the_disk(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResourceError, match="none is not a folder(.|\n)*fix:"):
        run(table, tmp_path / "out", memory_gb=0.5, scratch=tmp_path / "none")
    radii: list[float] = []

    def huge(particles: int, box: int, radius: float) -> MemoryPlan:
        radii.append(radius)
        return MemoryPlan(10**18, 10**9, 10**18)

    monkeypatch.setattr(solve, "memory_plan", huge)
    pixel = read_particles(table).pixel_size_angstrom
    for asked in ({}, {"max_resolution_angstrom": BOX * pixel / 6}):
        with pytest.raises(ResourceError, match=r"GB free, and the images take .*\n.*--scratch"):
            run(table, tmp_path / "out", memory_gb=0.5, scratch=tmp_path, **asked)
    assert radii == pytest.approx([BOX / 2, 6])  # what is not kept needs no room
