"""The learned relation: its symmetries, its targets, training that resumes, weights on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from cryospin.errors import BadDataError, UsageError
from cryospin.explore.pairwise_start import PairwiseStart
from cryospin.fourier.disk import FourierDisk
from cryospin.pairs.learned import WEIGHTS_VARIABLE, LearnedSolver, learned_relations, weights_file
from cryospin.pairs.lines import MARGIN, polar_lines
from cryospin.pairs.network import PairNetwork, PairNetworkShape
from cryospin.pairs.relations import true_relations
from cryospin.pairs.synthetic import synthetic_particles
from cryospin.pairs.targets import similarities, surprise
from cryospin.pairs.training import Training
from cryospin.pairs.weights import load_network, save_network
from cryospin.particles.draws import generator_for
from cryospin.recipes import find_recipe
from cryospin.rotations.align import align_rotations
from cryospin.volumes.gridded import map_to_volume
from phantoms import Blobs, random_turns

SHAPE = PairNetworkShape(lines=12, radii=6, tilts=4, features=4, width=8, blocks=2)
BLOBS = Blobs.random(4, count=20, spread=3.0, sigma=1.0)
DISK = FourierDisk.of(32, SHAPE.last_radius + MARGIN)
TOY = Training(steps=4, molecules=1, images=6, box=32, save_every=2, shape=SHAPE)


def network(seed: int = 1) -> PairNetwork:
    made = PairNetwork(SHAPE, torch.Generator().manual_seed(seed))
    return made.eval().requires_grad_(False)


def logits_of(made: PairNetwork, rotations: torch.Tensor) -> torch.Tensor:
    """Of the pair of two images of the blobs."""
    values = BLOBS.coefficients(rotations, DISK).to(torch.complex64)
    lines = polar_lines(values, DISK, SHAPE.lines, SHAPE.first_radius, SHAPE.last_radius)
    features = made(lines.values, torch.ones(2, SHAPE.radii))
    return made.logits(features.select(slice(0, 1)), features.select(slice(1, 2)))[0]


def in_plane(steps: int) -> torch.Tensor:
    angle = torch.tensor(steps * torch.pi / SHAPE.lines, dtype=torch.float64)
    turn = torch.eye(3, dtype=torch.float64)
    turn[0, 0] = turn[1, 1] = angle.cos()
    turn[1, 0], turn[0, 1] = angle.sin(), -angle.sin()
    return turn


def test_turning_an_image_turns_its_lines() -> None:
    made, rotations = network(), random_turns(2, 1)
    plain = logits_of(made, rotations)
    turned = logits_of(made, torch.stack([rotations[0], in_plane(5) @ rotations[1]]))
    # logits of lines reach 15; what the disk cuts off is not round
    torch.testing.assert_close(turned, plain.roll(5, dims=2), atol=0.15, rtol=0)
    assert (turned - plain).abs().max() > 1.5


def test_exchanging_the_images_exchanges_the_lines() -> None:
    """Ray a of one and b of the other; where b is past half a turn both turn round."""
    made, rotations = network(), random_turns(2, 2)
    plain, other = logits_of(made, rotations), logits_of(made, rotations.flip(0))
    half = SHAPE.lines
    for a, b in ((0, 3), (5, 1), (7, half + 4), (2, 2 * half - 1)):
        exchanged = (b, a) if b < half else (b - half, a + half)
        torch.testing.assert_close(plain[:, a, b], other[:, exchanged[0], exchanged[1]])


def test_surprise_is_least_at_the_true_relation() -> None:
    blocks = true_relations(random_turns(9, 3)).blocks[0, 1:].float()
    shape = replace(SHAPE, lines=36, tilts=16)
    near = similarities(blocks, shape)
    assert near.max() <= 1e-5
    sure = 1e3 * near
    assert surprise(sure, blocks, shape).max() < 0.2
    assert surprise(torch.zeros_like(near), blocks, shape).min() > 2.0
    elsewhere = 1e3 * near.roll(12, dims=2)
    assert surprise(elsewhere, blocks, shape).min() > 5.0


def densities() -> list[torch.Tensor]:
    return [Blobs.random(i, count=15, spread=3.0, sigma=1.2).density(32).float() for i in range(3)]


def test_training_repeats_itself_and_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = TOY.run(densities(), seed=1)
    state = tmp_path / "state"

    class Stopped(Exception):
        pass

    def stop(step: int, loss: float) -> None:
        if step == 3:
            raise Stopped

    with pytest.raises(Stopped):
        TOY.run(densities(), 1, state, stop)
    steps: list[int] = []
    resumed = TOY.run(densities(), 1, state, lambda step, loss: steps.append(step))
    assert steps == [3, 4]
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(BadDataError, match="other settings"):
        TOY.run(densities(), 2, state)


def test_a_batch_can_be_learned() -> None:
    made = PairNetwork(SHAPE, torch.Generator().manual_seed(1))
    optimiser = torch.optim.Adam(made.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss = TOY._loss(made, densities()[:1], seed=1, step=0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0]


def test_weights_come_back_and_others_are_refused(tmp_path: Path) -> None:
    path, made = tmp_path / "weights.safetensors", network()
    save_network(path, made, {"command": "test"})
    back = load_network(path)
    rotations = random_turns(2, 4)
    assert torch.equal(logits_of(made, rotations), logits_of(back, rotations))
    with pytest.raises(UsageError, match="no such file"):
        load_network(tmp_path / "none.safetensors")
    path.write_bytes(b"no weights at all")
    with pytest.raises(BadDataError, match="pairs train"):
        load_network(path)
    about = {"format": "cryospin pair network", "version": "0"}
    safetensors.torch.save_file({"x": torch.zeros(1)}, path, about)
    with pytest.raises(BadDataError, match="version 0, this program reads version 1"):
        load_network(path)
    safetensors.torch.save_file({"x": torch.zeros(1)}, path, {"format": "other"})
    with pytest.raises(BadDataError, match="no weights of a pair network"):
        load_network(path)


def test_the_untrained_network_matches_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is what makes it no worse than what it begins with."""
    shape = PairNetworkShape(lines=24, radii=9, tilts=4, features=2, width=8, blocks=1)
    made = PairNetwork(shape, torch.Generator().manual_seed(1)).eval().requires_grad_(False)
    made.leave.weight.zero_()
    made.sharpness.fill_(4.0)
    disk = FourierDisk.of(32, shape.last_radius + MARGIN)
    volume = map_to_volume(BLOBS.density(32).float(), 32, disk.radius)
    rng = generator_for(1, "test")
    data = synthetic_particles(
        volume, random_turns(60, 5).float(), disk, 3.0, rng, snr=100.0, defocus_um=None
    )
    path = tmp_path / "weights.safetensors"
    save_network(path, made, {})
    found = LearnedSolver(path).run(data.particles, data.power, 0.0)
    assert align_rotations(found.rotations, data.rotations).errors_degrees.median() < 5.0
    lines, relations = learned_relations(made, data.particles, data.power, data.shifts_pixel)
    assert lines.weights.max() <= 1.0 and lines.weights.diagonal().max() == 0
    torch.testing.assert_close(relations.blocks, relations.blocks.transpose(0, 1).mT)
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(path))
    assert weights_file() == path


def test_the_recipe_says_how_weights_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    search = find_recipe("pairwise").starts.search
    assert isinstance(search, PairwiseStart) and search.solver == LearnedSolver()
    monkeypatch.setenv(WEIGHTS_VARIABLE, "none.safetensors")
    with pytest.raises(UsageError, match="none.safetensors\n.*cryospin pairs train"):
        load_network(weights_file())
