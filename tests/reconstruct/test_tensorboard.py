"""Scalars for TensorBoard, heard from a monitor."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cryospin.errors import UsageError
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.tensorboard import ScalarListener, tensorboard_listener
from cryospin.report.unfinished import read_lines


class Written:
    """A writer that remembers."""

    def __init__(self) -> None:
        self.scalars: list[tuple[str, float, int]] = []
        self.flushed = 0

    def add_scalar(self, tag: str, value: float, step: int, walltime: float) -> None:
        assert walltime > 1.7e9
        self.scalars.append((tag, value, step))

    def flush(self) -> None:
        self.flushed += 1


def test_events_become_curves() -> None:
    written = Written()
    monitor = Monitor(listeners=(ScalarListener(written),))
    monitor.begin(64, 2.0, settings={"seed": 1})
    monitor.log(event="explored", half=2, scores=[3.0, 4.0])
    for limit in (8.0, 16.0):
        monitor.log(event="round", radius=limit, limit=limit, median_turn_degrees=1.0)
    with monitor.stage("refine"):
        pass
    resolution = [scalar for scalar in written.scalars if scalar[0] == "round/resolution_angstrom"]
    assert resolution == [("round/resolution_angstrom", 16.0, 0), (resolution[0][0], 8.0, 1)]
    scores = [scalar for scalar in written.scalars if scalar[0] == "scores/half2"]
    assert scores == [("scores/half2", 3.0, 0), ("scores/half2", 4.0, 1)]
    assert written.scalars[-1][0] == "seconds/refine"
    assert written.flushed == 4


def test_a_resumed_runs_curves_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, log = Written(), tmp_path / "log.jsonl"
    writers = SimpleNamespace(SummaryWriter=lambda directory, purge_step: written)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", writers)
    for limit in (8.0, 16.0):
        earlier = read_lines(log) if log.exists() else []
        monitor = Monitor(None, log, (tensorboard_listener(tmp_path, earlier),))
        written.scalars.clear()
        monitor.log(event="round", limit=limit)
    assert ("round/limit", 16.0, 1) in written.scalars


def test_without_the_package_the_way_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match="pip install tensorboard"):
        tensorboard_listener(tmp_path)
