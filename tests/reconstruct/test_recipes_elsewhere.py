"""Every explorer computes where its particles are, finds there what it finds on the CPU, and does
not wait for a card at each step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from cryospin.explore.exploration import Exploration
from cryospin.explore.setting import Setting
from cryospin.explore.winner_search import EncoderState, WinnerSearch
from cryospin.fourier.disk import FourierDisk
from cryospin.journal.tree import on_device, packed, unpacked
from cryospin.pairs.network import PairNetworkShape
from cryospin.pairs.training import Training
from cryospin.particles.prepare import PreparedParticles
from elsewhere import ELSEWHERE, Elsewhere, MixedDevicesError, teach
from phantoms import Blobs, PlantedParticles
from reconstruct_toys import SEARCHES, cut_down

BOX, COUNT = 20, 60
BLOBS = Blobs.random(1, spread=2.0)
PARTICLES = PlantedParticles.of(BLOBS, FourierDisk.of(BOX), COUNT, 1, signal=30.0).particles
IDENTITY = torch.eye(3)[None]
# bounds leave each image a number of candidates of its own, which the host must know
_BOUNDED = ("branch-and-bound", "common-lines")


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_down(monkeypatch)
    teach(monkeypatch)


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with Elsewhere() as mode:
        yield mode


def test_devices_do_not_mix(elsewhere: Elsewhere) -> None:
    there = torch.ones(3, device=ELSEWHERE)
    with pytest.raises(MixedDevicesError):
        there + torch.ones(3)
    assert there.cpu().tolist() == [1.0, 1.0, 1.0]
    assert not elsewhere.waits
    assert float(there.sum()) == 3.0
    assert elsewhere.waits.total() == 1


def explored(recipe: str, particles: PreparedParticles, operators: Tensor) -> Exploration:
    setting = Setting(operators, 1.0, seed=3, shared_seed=3)
    return SEARCHES[recipe].run(particles, setting)


@pytest.mark.parametrize("recipe", SEARCHES)
def test_an_explorer_finds_elsewhere_what_it_finds_here(recipe: str, elsewhere: Elsewhere) -> None:
    here = explored(recipe, PARTICLES, IDENTITY)
    elsewhere.waits.clear()
    there = explored(recipe, PARTICLES.to(ELSEWHERE), IDENTITY.to(ELSEWHERE))
    if recipe not in _BOUNDED:
        # at the ends of epochs and checks: steps are more than these
        assert elsewhere.waits.total() < 16
    for mine, theirs in zip(tensors(here), tensors(there), strict=True):
        assert theirs.device.type == ELSEWHERE.type
        # transforms on one thread or several differ in last bits, of which training makes more:
        # images that differ by 1e-7 end in sums that differ by 0.02
        assert float((theirs.cpu() - mine).abs().max() / mine.abs().max()) < 0.05
    assert there.scores == pytest.approx(here.scores, rel=0.01)


def tensors(found: Exploration) -> list[Tensor]:
    return [found.sums.numerator, found.sums.denominator]


def begun(device: torch.device) -> EncoderState:
    search = WinnerSearch(heads=3, batch=32, width=32, side=16, march=4, last_radius=7.0)
    setting = Setting(IDENTITY.to(device), 1.0, seed=5)
    return EncoderState(search, PARTICLES.to(device), np.arange(COUNT), setting)


def test_a_training_goes_on_on_another_device(elsewhere: Elsewhere) -> None:
    """From there to here and from here to there, as if it had been in one place."""
    cpu = torch.device("cpu")
    still = begun(cpu)
    for _ in range(4):
        still.step()
    for first, last in ((ELSEWHERE, cpu), (cpu, ELSEWHERE)):
        moving = begun(first)
        for _ in range(2):
            moving.step()
        kept = on_device(unpacked(packed(moving.recorded())), last.type)
        moving = begun(last)
        moving.recall(kept)
        for _ in range(2):
            moving.step()
        assert moving.sums[0].denominator.device.type == last.type
        found, expected = moving.sums[0].denominator.cpu(), still.sums[0].denominator
        assert float((found - expected).abs().max() / expected.max()) < 1e-3


def test_pairs_are_learned_elsewhere_as_here(elsewhere: Elsewhere) -> None:
    shape = PairNetworkShape(lines=8, radii=6, tilts=2, features=4, width=8, blocks=1)
    training = Training(steps=3, molecules=1, images=6, box=32, shape=shape)
    densities = [BLOBS.density(BOX).float()]
    here = training.run(densities, 1)
    elsewhere.waits.clear()
    there = training.run(densities, 1, device=ELSEWHERE)
    assert not elsewhere.waits
    for (name, mine), theirs in zip(
        here.state_dict().items(), there.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(theirs, mine, rtol=1e-3, atol=1e-4, msg=name)
