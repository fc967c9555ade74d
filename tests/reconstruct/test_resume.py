"""Killed at any moment, a run goes on to the bits of one that never was."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.errors import InterruptedRunError, ResourceError
from cryospin.explore import amortised
from cryospin.explore.setting import Setting
from cryospin.explore.snapshot import NonFiniteLossError
from cryospin.fourier.disk import FourierDisk
from cryospin.journal import checkpoints as checkpoints_module
from cryospin.journal import journal as journal_module
from cryospin.journal.checkpoints import MANIFEST, Checkpoints
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.journal.signals import Signals
from cryospin.journal.tree import packed
from cryospin.particles.prepare import PreparedParticles
from cryospin.reconstruct import semi_amortised
from cryospin.reconstruct.abinitio import monitor_rounds
from cryospin.reconstruct.monitor import Look, Monitor
from cryospin.types import DensityMap
from phantoms import Blobs, PlantedParticles
from reconstruct_toys import SEARCHES, cut_down, toy

BOX, COUNT = 20, 60
BLOBS = Blobs.random(1, spread=2.0)
PLANTED = tuple(
    PlantedParticles.of(BLOBS, FourierDisk.of(BOX), COUNT, half, signal=30.0).particles
    for half in (1, 2)
)
SETTING = Setting(torch.eye(3)[None], 1.0, seed=3, shared_seed=3)
GIVEN = DensityMap(BLOBS.density(BOX).float(), 3.0)


class Killed(BaseException):
    """What no `except` on the way may stop."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """And every state that is offered is kept."""
    cut_down(monkeypatch)
    monkeypatch.setattr(journal_module, "_PAUSE", 0.0)


def prepared() -> tuple[PreparedParticles, PreparedParticles]:
    """Refinement whitens in place."""
    first, second = (
        replace(half, coefficients=half.coefficients.clone(), ctf=half.ctf.clone())
        for half in PLANTED
    )
    return first, second


def outcome(
    recipe: str,
    journal: Journal = UNRECORDED,
    given: DensityMap | None = None,
    monitor: Monitor | None = None,
) -> bytes:
    """All that a run of both stages finds, to the last bit."""
    monitor = monitor or Monitor()
    method, found_by = toy(recipe), (prepared(), SETTING, monitor, journal.part("start"))
    with journal.patience():
        if given is None:
            halves, exploration = method.starts.run(*found_by)
        else:
            halves, exploration = method.starts.from_map(given, 30.0, *found_by)
        halves, reports = method.refinement.run(
            halves,
            SETTING,
            method.starts.assignment,
            monitor_rounds(monitor),
            journal.part("refine"),
        )
    found = [
        (half.rotations, half.shifts_pixel, half.confidence, half.particles.noise_power)
        for half in halves
    ]
    images = [half.particles.images().coefficients for half in halves]
    return packed((exploration, reports, found, images))


@cache
def uninterrupted(recipe: str) -> bytes:
    return outcome(recipe)


def test_who_looks_at_a_run_changes_nothing() -> None:
    """Maps while they form, in the search and in the refinement, and views: all are looked at."""
    seen: list[tuple[str, int, tuple[int, ...]]] = []

    def look(kind: str, half: int, look: Look) -> None:
        seen.append((kind, half, tuple(look().shape)))

    assert outcome("exhaustive", monitor=Monitor(onlookers=(look,))) == uninterrupted("exhaustive")
    maps = [(half, shape) for kind, half, shape in seen if kind == "map"]
    assert {half for half, _ in maps} == {1, 2} and all(len({*shape}) == 1 for _, shape in maps)
    views = [shape for kind, _, shape in seen if kind == "views"]
    assert len(maps) > len(views) > 4 and all(shape[1:] == (3, 3) for shape in views)


@contextmanager
def dying(write: int, moment: str, stage: str = "") -> Iterator[None]:
    """The process dies at the `write`-th state of a stage: before it, within it, or after it."""
    real_write, real_manifest = Checkpoints.write, Checkpoints._write_manifest
    count = 0

    def written(self: Checkpoints, part: str, state: object) -> None:
        nonlocal count
        count += stage in part
        if moment == "before" and count >= write:
            raise Killed
        real_write(self, part, state)
        if count >= write:
            raise Killed

    def manifest(self: Checkpoints, parts: object, number: int) -> None:
        if moment == "within" and count >= write:
            raise Killed
        real_manifest(self, parts, number)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Checkpoints, "write", written)
        patched.setattr(Checkpoints, "_write_manifest", manifest)
        yield


def journal_of(folder: Path, told: list[str] | None = None, seconds: float = 0.0) -> Journal:
    tell = (lambda text: None) if told is None else told.append
    return Journal(Checkpoints.resumed(folder, {"seed": 3}, tell), every_seconds=seconds)


def killed_again_and_again(
    folder: Path, run: Callable[[Journal], bytes], seed: int, kills: int
) -> tuple[bytes, int]:
    """What a run ends with, and how often it was killed on the way; at most `kills` times."""
    rng = np.random.default_rng(seed)
    for killed in range(kills):
        moment = ("before", "within", "after")[rng.integers(3)]
        try:
            with dying(int(rng.integers(1, 6)), moment):
                return run(journal_of(folder)), killed
        except Killed:
            continue
    return run(journal_of(folder)), kills


@pytest.mark.parametrize("recipe", SEARCHES)
def test_killed_at_random_and_resumed_to_the_same_bits(recipe: str, tmp_path: Path) -> None:
    """At least 30 kills over all recipes."""
    found, kills = killed_again_and_again(
        tmp_path, lambda journal: outcome(recipe, journal), seed=len(recipe), kills=3
    )
    assert kills == 3
    assert found == uninterrupted(recipe)


@pytest.mark.parametrize(
    ("recipe", "stage"),
    [
        ("exhaustive", "explore/best"),
        ("patient", "explore/patient"),
        ("cryospin", "attempt2/assign"),
        ("branch-and-bound", "explore/pass"),
        ("cryospin", "explore/direct"),
        ("cryospin-paper", "explore/direct"),
    ],
)
def test_killed_late(recipe: str, stage: str, tmp_path: Path) -> None:
    """In stages that a few kills from the beginning on do not reach."""
    with pytest.raises(Killed), dying(2, "after", stage):
        outcome(recipe, journal_of(tmp_path))
    assert outcome(recipe, journal_of(tmp_path)) == uninterrupted(recipe)


def test_killed_at_every_round_of_refinement(tmp_path: Path) -> None:
    """The noise spectrum is taken anew after two of them."""
    for _ in range(4):
        with pytest.raises(Killed), dying(1, "after", "refine"):
            outcome("exhaustive", journal_of(tmp_path), GIVEN)
    assert outcome("exhaustive", journal_of(tmp_path), GIVEN) == outcome("exhaustive", given=GIVEN)


def test_killed_when_started_from_a_map(tmp_path: Path) -> None:
    found, kills = killed_again_and_again(
        tmp_path, lambda journal: outcome("exhaustive", journal, GIVEN), seed=1, kills=2
    )
    assert kills == 2
    assert found == outcome("exhaustive", given=GIVEN)


def killed_once(folder: Path, recipe: str, write: int) -> None:
    with pytest.raises(Killed), dying(write, "after"):
        outcome(recipe, journal_of(folder))


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[2 * len(data) // 3] ^= 0x10
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("*.safetensors", flipped),
        ("*.safetensors", cut),
        (MANIFEST, flipped),
        (MANIFEST, Path.unlink),
    ],
)
def test_the_newest_checkpoint_damaged(
    tmp_path: Path, file: str, damage: Callable[[Path], None]
) -> None:
    killed_once(tmp_path, "amortized", 5)
    damage(max(tmp_path.glob(file), key=lambda path: path.stat().st_mtime_ns))
    told: list[str] = []
    found = outcome("amortized", journal_of(tmp_path, told))
    # a manifest that is not there is what a kill may leave
    assert len(told) == (0 if (file, damage) == (MANIFEST, Path.unlink) else 1)
    assert found == uninterrupted("amortized")


def test_everything_damaged_starts_over(tmp_path: Path) -> None:
    killed_once(tmp_path, "amortized", 5)
    for path in tmp_path.iterdir():
        cut(path)
    told: list[str] = []
    assert outcome("amortized", journal_of(tmp_path, told)) == uninterrupted("amortized")
    assert "starts over" in told[0]


def test_a_full_disk_leaves_a_run_that_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, count = Path.write_bytes, 0

    def full(path: Path, data: bytes) -> int:
        nonlocal count
        count += 1
        if count > 3:
            real(path, data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        return real(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints_module.Path, "write_bytes", full)
        with pytest.raises(ResourceError, match="the disk is full"):
            outcome("amortized", journal_of(tmp_path))
    assert outcome("amortized", journal_of(tmp_path)) == uninterrupted("amortized")


def test_term_keeps_both_half_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are explored on two threads, where there are two cores."""
    real, steps = semi_amortised.EncoderState.step, list[int]()

    def step(state: semi_amortised.EncoderState) -> None:
        real(state)
        steps.append(1)
        if len(steps) == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(semi_amortised.EncoderState, "step", step)
    with Signals() as signals:
        checkpoints = Checkpoints.begun(tmp_path, {"seed": 3})
        with pytest.raises(InterruptedRunError):
            outcome("cryospin", Journal(checkpoints, signals, every_seconds=3600))
    for half in (1, 2):
        part = f"start/half{half}/attempt1/explore/encoder"
        assert checkpoints.newest(part) is not None


def test_a_loss_that_is_none_leaves_the_last_good_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, batches = amortised.scored, list[int]()

    def spoilt(*arguments: object) -> object:
        batches.append(1)
        winners = real(*arguments)
        return replace(winners, loss=winners.loss * torch.nan) if len(batches) > 4 else winners

    with monkeypatch.context() as patched:
        patched.setattr(amortised, "scored", spoilt)
        with pytest.raises(NonFiniteLossError):
            outcome("amortized", journal_of(tmp_path))
    # as if the loss had been a number: what was kept is good
    assert outcome("amortized", journal_of(tmp_path)) == uninterrupted("amortized")
