"""The encoder stage: the winner's step, the order of images, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import roma
import torch

from cryospin.explore.heads import winner_takes_all
from cryospin.explore.setting import Setting
from cryospin.explore.winner_search import EncoderState, WinnerSearch, handicap_step
from cryospin.explore.winner_step import damped_step, inner_product
from cryospin.fourier.disk import FourierDisk
from cryospin.imaging import negative_log_likelihood
from cryospin.journal.tree import packed, unpacked
from cryospin.kernels import pose_normal_equations
from cryospin.particles.draws import generator_for
from cryospin.rotations.in_plane import view_turns
from cryospin.volumes.gridded import SliceSums, map_to_volume
from phantoms import Blobs, PlantedParticles, random_turns

COUNT = 60
PLANTED = PlantedParticles.of(
    Blobs.random(1, spread=3.0), FourierDisk.of(32), COUNT, 2, signal=50.0, largest_shift=1.0
)
SMALL = WinnerSearch(heads=2, batch=20, width=32, march=10, random_images=30)


def state(
    search: WinnerSearch = SMALL,
    shift_range: float = 1.0,
    seed: int = 0,
    classes: int = 1,
) -> EncoderState:
    setting = Setting(torch.eye(3)[None], shift_range, support_radius=0.4, seed=seed)
    return EncoderState(search, PLANTED.particles, np.arange(COUNT), setting, classes)


def numbers(sums: tuple[SliceSums, ...]) -> list[torch.Tensor]:
    return [tensor for each in sums for tensor in (each.numerator, each.denominator)]


def test_the_scalar_has_the_wanted_gradient() -> None:
    """Moving R to exp([w]) R and t to t + tau changes it by the wanted (omega, d) . (w, tau)."""
    generator = torch.Generator().manual_seed(0)
    wanted = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    rotations = random_turns(4, 1)
    shifts = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    move = torch.randn(4, 5, generator=generator, dtype=torch.float64)

    def value(step: float) -> torch.Tensor:
        turned = roma.rotvec_to_rotmat(step * move[:, :3]) @ rotations
        # the tangent is a constant: the one at the unmoved rotations
        omega = wanted[:, :3, None].expand(-1, -1, 3)
        tangent = 0.5 * torch.linalg.cross(omega, rotations, dim=1)
        return (
            (tangent * turned).sum() + (wanted[:, 3:] * (shifts + step * move[:, 3:])).sum()
        ) / 4

    slope = (value(1e-5) - value(-1e-5)) / 2e-5
    torch.testing.assert_close(slope, (wanted * move).sum() / 4, atol=1e-8, rtol=1e-8)
    at = rotations.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(inner_product(wanted, at, shifts), at)
    omega = wanted[:, :3, None].expand(-1, -1, 3)
    torch.testing.assert_close(gradient, 0.5 * torch.linalg.cross(omega, rotations, dim=1) / 4)


def test_every_image_has_its_turn_before_one_has_two() -> None:
    training = state()
    drawn = torch.cat([training._next_rows() for _ in range(COUNT // SMALL.batch)])
    assert sorted(drawn.tolist()) == list(range(COUNT))


def test_the_radius_marches_and_stays() -> None:
    assert SMALL.schedule(0) == (SMALL.first_radius, SMALL.first_forgetting)
    radius, forgetting = SMALL.schedule(10 * SMALL.march)
    assert radius == SMALL.last_radius and forgetting == pytest.approx(SMALL.last_forgetting)


def test_the_same_seed_gives_the_same_encoder() -> None:
    one, other = state(), state()
    for training in (one, other):
        for _ in range(3):
            training.step()
    assert torch.equal(one.sums[0].numerator, other.sums[0].numerator)
    rows = torch.arange(COUNT)
    assert torch.equal(one.hypotheses(rows).rotations, other.hypotheses(rows).rotations)
    different = state(seed=1)
    assert not torch.equal(different.sums[0].numerator, one.sums[0].numerator)


def test_centred_particles_are_not_asked_to_move() -> None:
    training = state(shift_range=0.0)
    training.step()
    assert torch.equal(training.hypotheses(torch.arange(5)).shifts_pixel, torch.zeros(5, 2, 2))


def test_the_encoder_learns_poses_of_a_map_it_is_given() -> None:
    """With the map held at the truth, winners fit images better step by step."""
    search = replace(SMALL, heads=4, batch=COUNT, width=128, first_radius=5.0, last_radius=6.0)
    training = state(search)
    density = Blobs.random(1, spread=3.0).density(len(training.map.support), 32).float()
    truth = map_to_volume(density, 32, search.last_radius)
    training.volumes = lambda: (truth,)  # type: ignore[method-assign]
    rows = torch.arange(COUNT)

    def loss() -> float:
        found = training.hypotheses(rows)
        winners = training.scored(
            (truth,), training.particles.batch(rows, 5.0), found.rotations, found.shifts_pixel
        )
        return float(winners.loss.mean())

    before = loss()
    for _ in range(60):
        training.step()
    noise = len(PLANTED.particles.disk.prefix(5.0))
    # three quarters of what is not noise
    assert loss() - noise < 0.75 * (before - noise)


def plain_step(training: EncoderState) -> None:
    """`EncoderState.step` of one map, for a reader: nothing in it knows of classes."""
    search, particles = training.search, training.particles
    radius, forgetting = search.schedule(training.steps)
    rows = training._next_rows()
    angles = generator_for(training.seed, "turns", training.steps).uniform(0, 2 * np.pi, len(rows))
    turns = view_turns(torch.as_tensor(angles).float())
    rotations, shifts = training._turned_guesses(rows, turns)
    (sums,) = training.sums
    volume, images = training.map.volume(sums, radius), particles.batch(rows, radius)
    with torch.no_grad():
        likelihood = partial(negative_log_likelihood, volume, images)
        head = winner_takes_all(likelihood, rotations, shifts).head
    chosen = torch.arange(len(rows)), head
    best = rotations[chosen].detach(), shifts[chosen].detach()
    _, gradient, hessian = pose_normal_equations(volume, images, *best)
    wanted = damped_step(gradient, hessian, 5, search.damping, search.longest_step)
    training.optimiser.zero_grad()
    inner_product(wanted, rotations[chosen], shifts[chosen]).backward()
    training.optimiser.step()
    newer = training._inserted(images, *best)
    training.sums = (sums.blended(newer, forgetting, len(particles) / len(rows)),)
    training.steps += 1


@pytest.mark.parametrize("heads", [1, 3])
def test_of_one_class_a_step_is_the_plain_one_bit_for_bit(heads: int) -> None:
    one, other = (state(replace(SMALL, heads=heads)) for _ in range(2))
    for _ in range(5):
        one.step()
        plain_step(other)
    assert all(map(torch.equal, numbers(one.sums), numbers(other.sums)))
    weights = zip(one.encoder.parameters(), other.encoder.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in weights)
    assert torch.equal(one.handicap, torch.zeros(1))


def test_the_best_pair_of_a_head_and_a_class_wins() -> None:
    """Against every pair scored by itself; a handicap counts as so many nats."""
    training = state(classes=3)
    for _ in range(2):
        training.step()
    rows, heads = torch.arange(COUNT), SMALL.heads
    found = training.hypotheses(rows)
    volumes, images = training.volumes(), PLANTED.particles.batch(rows, 5.0)
    for handicap in ([0.0, 0.0, 0.0], [0.0, 0.3, -0.4], [0.0, 1e6, 1e6]):
        training.handicap = torch.tensor(handicap)
        won = training.scored(
            volumes, training.particles.batch(rows, 5.0), found.rotations, found.shifts_pixel
        )
        each = {
            (head, c): negative_log_likelihood(
                volumes[c], images, found.rotations[:, head], found.shifts_pixel[:, head]
            )
            for head in range(heads)
            for c in range(3)
        }
        best = torch.stack([loss + handicap[c] for (_, c), loss in each.items()]).argmin(dim=0)
        assert torch.equal(won.head * 3 + won.number, best)
        losses = torch.stack(list(each.values()))[best, rows]
        torch.testing.assert_close(won.loss, losses, rtol=1e-6, atol=0.0)
    assert (won.number == 0).all()


def test_an_image_goes_into_the_map_that_won_it_and_into_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All maps together are the one map of all winners."""
    training = state(replace(SMALL, first_forgetting=1.0, batch=COUNT), classes=3)
    real, taken = training._inserted, list[tuple[Any, ...]]()

    def inserted(*images: Any) -> SliceSums:
        taken.append(images)
        return real(*images)

    monkeypatch.setattr(training, "_inserted", inserted)
    training.step()
    batches, rotations, shifts = zip(*taken, strict=True)
    everyone = training.particles.batch(torch.arange(COUNT), SMALL.first_radius)
    seen = torch.cat([each.coefficients for each in batches])
    rows = [torch.nonzero((everyone.coefficients == one).all(dim=1)).flatten() for one in seen]
    order = torch.cat(rows)
    assert sorted(order.tolist()) == list(range(COUNT)) and len(taken) > 1
    whole = real(everyone.select(order), torch.cat(rotations), torch.cat(shifts))
    for name in ("numerator", "denominator"):
        parts = sum(getattr(each, name) for each in training.sums)
        torch.testing.assert_close(parts, getattr(whole, name), rtol=1e-4, atol=1e-3)
    shares = torch.tensor([len(each[0]) for each in taken])
    assert torch.equal(training.wins.sum(dim=0), shares.float())


def test_classes_in_another_order_are_the_same_classes() -> None:
    one, other = state(classes=2), state(classes=2)
    other.sums = one.sums[::-1]
    for _ in range(6):
        one.step()
        other.step()
    assert all(map(torch.equal, numbers(one.sums), numbers(other.sums[::-1])))
    assert torch.equal(one.wins, other.wins.flip(1))
    torch.testing.assert_close(one.handicap, other.handicap.flip(0))


def test_a_class_that_wins_nothing_is_helped_until_the_march_is_over() -> None:
    """An empty class, and batches without any of its images, are no error."""
    torch.testing.assert_close(handicap_step(torch.tensor([0.5, 0.5])), torch.zeros(2))
    step = handicap_step(torch.tensor([0.7, 0.2, 0.1]))
    assert step[0] > step[1] > step[2]
    training = state(replace(SMALL, march=4), classes=2)
    training.handicap = torch.tensor([-1e6, 1e6])
    training.step()
    assert training.wins[:, 1].sum() == 0
    assert training.handicap[0] > -1e6 and training.handicap[1] < 1e6
    for _ in range(3):
        training.step()
    assert torch.equal(training.handicap, torch.zeros(2))


def test_a_training_with_classes_goes_on_as_it_was_recorded() -> None:
    one = state(classes=2)
    for _ in range(3):
        one.step()
    other = state(classes=2, seed=0)
    other.recall(unpacked(packed(one.recorded())))
    one.step()
    other.step()
    assert all(map(torch.equal, numbers(one.sums), numbers(other.sums)))
    assert torch.equal(one.handicap, other.handicap) and torch.equal(one.wins, other.wins)
