"""What is timed runs, at toy size, against a clock of its own; the times are the benchmark's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from cryospin.bench import speed as module
from cryospin.bench.speed import Speed, direct_stage, encoder_stage, pose_cost, timed
from cryospin.fourier.disk import FourierDisk
from cryospin.particles.prepare import PreparedParticles
from cryospin.refine.direct import PoseDescent
from phantoms import Blobs, PlantedParticles


class Clock:
    """Stands still but for what is made to take time."""

    def __init__(self) -> None:
        self.now = 0.0

    def taking(self, seconds: float, work: Callable[..., Any] = lambda: None) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            self.now += seconds
            return work(*given, **named)

        return timed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(module.time, "perf_counter", lambda: found.now)
    return found


def particles(box: int) -> PreparedParticles:
    return PlantedParticles.of(
        Blobs.random(1, spread=1.5), FourierDisk.of(box), 40, 1, signal=10.0
    ).particles


def test_turns_are_taken_and_the_first_is_left_out(clock: Clock) -> None:
    """The first of each compiles and takes long; of the others the median counts."""
    seconds = {"a": iter([100.0, 1.0, 5.0, 2.0]), "b": iter([100.0, 3.0, 3.0, 3.0])}
    order: list[str] = []

    def run(name: str) -> None:
        order.append(name)
        clock.now += next(seconds[name])

    found = timed({name: lambda name=name: run(name) for name in "ab"}, repeats=3)
    assert order == ["a", "b"] * 4 and found == {"a": 2.0, "b": 3.0}


def test_the_ratio_says_how_often_the_fast_way_fits_into_the_plain_one() -> None:
    assert Speed("", plain=12.0, fast=3.0).ratio == 4.0


def test_direct_stage(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Per 1,000 images: three batches of 40 images the plain way, one of ours."""
    plain, ours = module.AutogradStage.run, module.GaussNewton.refine
    monkeypatch.setattr(module.AutogradStage, "run", clock.taking(1.0, plain))
    monkeypatch.setattr(module.GaussNewton, "refine", clock.taking(0.5, ours))
    speed = direct_stage(particles(16), repeats=1, batch=16)
    assert (speed.plain, speed.fast) == (3 * 1.0 * 25, 0.5 * 25)


def test_encoder_stage(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both see each of the images once."""
    step = module.EncoderState.step
    monkeypatch.setattr(module.EncoderState, "step", clock.taking(0.5, step))
    speed = encoder_stage(particles(32), repeats=1)
    assert (speed.plain, speed.fast) == (0.0, 0.5 * 25)


def test_the_cost_of_poses(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five updates of each batch of 64 poses, whichever way; the dense way is run in part."""
    monkeypatch.setattr(PoseDescent, "step", clock.taking(1.0, PoseDescent.step))
    monkeypatch.setattr(torch.optim.Adam, "step", clock.taking(2.0, torch.optim.Adam.step))
    few, many = pose_cost((64, 6_401))
    assert (few.poses, few.rows, few.dense) == (64, 5.0, 10.0)
    assert (many.poses, many.rows, many.dense) == (6_401, 505.0, 1010.0)
