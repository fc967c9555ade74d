"""Explorers watched epoch by epoch: what is kept, and where watching ends them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cryospin.bench.parameters import parameter_counts
from cryospin.bench.watched import Watched
from cryospin.bench.watching import can_be_watched, watch_explorer, watch_stack
from cryospin.errors import UsageError
from cryospin.explore.setting import Setting
from cryospin.explore.snapshot import Snapshot, Watch
from cryospin.fourier.disk import FourierDisk
from cryospin.particles.prepare import PreparedParticles
from cryospin.poses import PoseHypotheses
from cryospin.reconstruct.amortised import AmortisedTraining
from phantoms import Blobs, PlantedParticles, random_turns

SETTING = Setting(torch.eye(3)[None], 0.0)


@dataclass(frozen=True)
class Ended:
    """What is read of an exploration."""

    hypotheses: PoseHypotheses | None


@dataclass(frozen=True)
class Pretended:
    """An explorer of ten seconds an epoch that does nothing; heads in its first two epochs."""

    epochs: int = 4
    last_radius: float = 8.0
    watch: Watch | None = None

    def run(self, particles: PreparedParticles, *circumstances: Any) -> Ended:
        count = len(particles)
        for epoch in range(1, self.epochs + 1):
            usage = torch.tensor([0.75, 0.25]) if epoch <= 2 else torch.zeros(0)
            rotations = random_turns(count, epoch).float()
            stage = "encoder" if epoch <= 2 else "direct"
            assert self.watch is not None
            self.watch(
                Snapshot(epoch, 10.0 * epoch, stage, rotations, torch.zeros(count, 2), usage, 1.0)
            )
        return Ended(PoseHypotheses(torch.eye(3).repeat(count, 2, 1, 1), torch.zeros(count, 2, 2)))


@pytest.fixture(scope="module")
def particles() -> PreparedParticles:
    return PlantedParticles.of(
        Blobs.random(1, spread=1.5), FourierDisk.of(16), 20, 1, signal=3.0
    ).particles


def test_every_epoch_is_kept(particles: PreparedParticles, tmp_path: Path) -> None:
    path = tmp_path / "watched.npz"
    found = watch_explorer(
        Pretended(), particles, SETTING, keep=lambda watched: watched.write(path)
    )
    assert found.stages == ("encoder", "encoder", "direct", "direct")
    assert found.seconds.tolist() == [10, 20, 30, 40]
    assert found.candidates is not None and found.candidates.shape == (20, 2, 3, 3)
    assert np.isnan(found.usage[2:]).all() and found.usage[0].tolist() == [0.75, 0.25]
    again = Watched.read(path)
    assert again.uids == found.uids and torch.equal(again.rotations, found.rotations)
    assert torch.equal(again.candidates, found.candidates) and again.parameters is None


@pytest.mark.parametrize("limit", [{"most_epochs": 2}, {"limit_seconds": 15.0}])
def test_an_explorer_is_ended_at_the_limit(
    particles: PreparedParticles, limit: dict[str, Any]
) -> None:
    found = watch_explorer(Pretended(), particles, SETTING, **limit)
    assert len(found.epochs) == 2 and found.candidates is None


def test_an_explorer_without_an_epoch_is_refused(particles: PreparedParticles) -> None:
    with pytest.raises(UsageError, match="before its first epoch"):
        watch_explorer(Pretended(epochs=0), particles, SETTING)


def test_a_recipe_without_epochs_is_refused(tmp_path: Path) -> None:
    assert not can_be_watched("exhaustive")
    with pytest.raises(UsageError, match="does not train in epochs"):
        watch_stack(
            "exhaustive", tmp_path / "no.star", tmp_path / "no.npz", shift_range_pixel=0, seed=0
        )


def test_parameters(particles: PreparedParticles) -> None:
    few, many = (parameter_counts(AmortisedTraining(heads=m), particles) for m in (1, 3))
    assert few is not None and many is not None
    # a head of 512 and 256 units and 8 outputs, on features of 256 x 1 x 1 at the least
    assert many["encoder"] - few["encoder"] >= 2 * (256 * 513 + 512 * 256 + 256 + 256 * 8 + 8)
    assert many["volume"] == few["volume"] > 0
    assert parameter_counts(Pretended(), particles) is None
