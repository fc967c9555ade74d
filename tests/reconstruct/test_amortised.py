"""Both stages end to end, on a few images and a backbone of the published shape."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cryospin.explore.amortised import EncoderTraining
from cryospin.explore.exploration import Exploration
from cryospin.explore.setting import Setting
from cryospin.explore.snapshot import Snapshot
from cryospin.explore.warm_start import WarmStart
from cryospin.fourier.disk import FourierDisk
from cryospin.reconstruct.amortised import AmortisedTraining
from cryospin.refine.direct import DirectOptimisation
from phantoms import Blobs, PlantedParticles, random_turns

COUNT = 21
PARTICLES = PlantedParticles.of(
    Blobs.random(1, spread=2.0), FourierDisk.of(16), COUNT, 2, signal=20.0
).particles
IDENTITY = torch.eye(3)[None]
SMALL = AmortisedTraining(
    heads=2,
    encoder=EncoderTraining(epochs=1, batch=10),
    direct=DirectOptimisation(epochs=2, batch=10),
)


def explore(method: AmortisedTraining, seed: int = 1) -> Exploration:
    return method.run(PARTICLES, Setting(IDENTITY, 1.0, seed=seed))


def test_semi_amortised_hands_on_one_pose_per_particle() -> None:
    seen: list[Snapshot] = []
    told: list[tuple[str, int, int]] = []
    method = replace(SMALL, watch=seen.append)
    result = method.run(PARTICLES, Setting(IDENTITY, 1.0, seed=1), lambda *now: told.append(now))
    assert result.hypotheses is not None and result.hypotheses.rotations.shape == (COUNT, 1, 3, 3)
    assert result.radius == PARTICLES.disk.radius and len(result.scores) == 1
    assert [(s.epoch, s.stage, len(s.usage)) for s in seen] == [
        (1, "encoder", 2),
        (2, "direct", 0),
        (3, "direct", 0),
    ]
    assert seen[0].seconds < seen[1].seconds < seen[2].seconds
    assert torch.equal(seen[-1].rotations, result.hypotheses.rotations[:, 0])
    assert torch.tensor([s.held_out_loss for s in seen]).isfinite().all()
    assert told[-1][1:] == (3 * COUNT, 3 * COUNT)


@pytest.mark.parametrize("heads", [1, 2])
def test_amortised_hands_on_every_heads_pose(heads: int) -> None:
    result = explore(replace(SMALL, heads=heads, direct=None))
    assert result.hypotheses is not None
    assert result.hypotheses.rotations.shape == (COUNT, heads, 3, 3)


def test_cryoais_variant_has_two_poses_per_image() -> None:
    encoder = replace(SMALL.encoder, symmetrised=True, volume_rate=1e-3)
    method = replace(SMALL, heads=1, encoder=encoder, direct=None, implicit=True)
    result = explore(method)
    assert result.hypotheses is not None
    assert result.hypotheses.shifts_pixel.shape == (COUNT, 2, 2)


def test_runs_repeat_by_seed_whatever_torchs_global_one_is() -> None:
    torch.manual_seed(0)
    first = explore(SMALL)
    torch.manual_seed(1)
    assert torch.equal(first.sums.numerator, explore(SMALL).sums.numerator)
    assert not torch.equal(first.sums.numerator, explore(SMALL, seed=2).sums.numerator)


def test_watching_changes_nothing() -> None:
    watched = explore(replace(SMALL, watch=lambda snapshot: None))
    assert watched.scores == explore(SMALL).scores


def test_given_poses_are_where_it_starts() -> None:
    """Fitted once, told as epoch 0; a run that is asked for again has the same bits."""
    seen: list[Snapshot] = []
    turns = random_turns(COUNT, 3).float()
    given = WarmStart(PARTICLES.uids, turns, torch.zeros(COUNT, 2), epochs=2, volume_epochs=1)
    method = replace(SMALL, start=given)
    first = explore(replace(method, watch=seen.append))
    assert [(s.epoch, s.stage) for s in seen][:2] == [(0, "given"), (1, "encoder")]
    assert torch.equal(first.sums.numerator, explore(method).sums.numerator)
    assert not torch.equal(first.sums.numerator, explore(SMALL).sums.numerator)
