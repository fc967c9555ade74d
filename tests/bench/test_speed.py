"""What is timed runs, at toy size; the times are the benchmark's business."""

from __future__ import annotations

from cryospin.bench.speed import direct_stage, encoder_stage, pose_cost, timed
from cryospin.fourier.disk import FourierDisk
from phantoms import Blobs, PlantedParticles


def test_turns_are_taken_and_the_first_is_left_out() -> None:
    order: list[str] = []
    found = timed({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=2)
    assert order == ["a", "b"] * 3 and set(found) == {"a", "b"}


def test_direct_stage() -> None:
    particles = PlantedParticles.of(
        Blobs.random(1, spread=1.5), FourierDisk.of(16), 40, 1, signal=1.0
    ).particles
    speed = direct_stage(particles, repeats=1, batch=16)
    assert speed.plain > 0 and speed.fast > 0 and speed.ratio == speed.plain / speed.fast


def test_encoder_stage() -> None:
    particles = PlantedParticles.of(
        Blobs.random(1, spread=1.5), FourierDisk.of(32), 40, 1, signal=10.0
    ).particles
    speed = encoder_stage(particles, repeats=1)
    assert speed.plain > 0 and speed.fast > 0


def test_pose_cost() -> None:
    few, many = pose_cost((640, 6_400))
    assert (few.poses, many.poses) == (640, 6_400) and few.dense > 0
    # ten times as many take ten times as long, give or take a busy machine
    assert 2 < many.rows / few.rows < 50
