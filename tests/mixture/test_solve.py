"""A whole run with classes: joined where they are one, and resumed to the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cryospin.explore.patience import Patience
from cryospin.io.relion import read_particles
from cryospin.journal import journal as journal_module
from cryospin.journal.checkpoints import Checkpoints
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.journal.tree import packed
from cryospin.mixture import pairing, solve
from cryospin.mixture.class_search import ClassSearch
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.mixture.distinct import Likeness
from cryospin.mixture.refinement import ClassedRefinement
from cryospin.mixture.solve import Mixture, MixtureResult, joined, renumbered, without_the_empty
from cryospin.mixture.split import ClassSplit
from cryospin.reconstruct import joining
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.refinement import AlternatingRefinement
from cryospin.reconstruct.request import Request
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf
from cryospin.types import ParticleStack
from phantoms import random_turns
from planted_mixture import STATES, PlantedMixture
from reconstruct_toys import cut_down, toy

HALF = PlantedMixture.of(STATES[:2], (40, 40), 1, signal=30.0).half


def classed(weights: torch.Tensor, seed: int) -> ClassedHalf:
    """Of each class other poses."""
    sets = [
        replace(HALF, rotations=random_turns(len(weights), seed + number).float())
        for number in range(weights.shape[1])
    ]
    return ClassedHalf(tuple(sets), weights)


def weights_of(seed: int, classes: int, rows: int = 80) -> torch.Tensor:
    drawn = torch.rand(rows, classes, generator=torch.manual_seed(seed)) + 0.01
    return drawn / drawn.sum(dim=1, keepdim=True)


@pytest.mark.parametrize(
    ("agreement", "kept", "gone"), [((5.0, 9.0, 7.0), 2, 0), ((8.0, 1.0, 7.0), 0, 2)]
)
def test_joining_sums_weights_and_keeps_the_better_poses(
    agreement: tuple[float, ...], kept: int, gone: int
) -> None:
    halves = classed(weights_of(1, 3), 10), classed(weights_of(2, 3), 20)
    found, agrees = joined(halves, agreement, 0, 2)
    left = [number for number in range(3) if number != gone]
    assert agrees == tuple(agreement[number] for number in left)
    for before, after in zip(halves, found, strict=True):
        assert after.sets == tuple(before.sets[number] for number in left)
        expected = before.weights[:, kept] + before.weights[:, gone]
        assert torch.equal(after.weights[:, left.index(kept)], expected)
        assert torch.equal(after.weights[:, left.index(1)], before.weights[:, 1])
        torch.testing.assert_close(after.weights.sum(dim=1), torch.ones(80))
    assert halves[0].weights.shape == (80, 3), "what was given is left as it was"


def test_a_class_that_one_half_set_hardly_has_is_none() -> None:
    full = torch.eye(3)[torch.arange(80) % 3] * 0.9 + 0.03
    lacking = torch.eye(3)[torch.arange(80) % 2] * 0.9 + 0.03
    halves = classed(full, 10), classed(lacking, 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solve, "_LEAST_OF_A_HALF", 20)
        found, agreement = without_the_empty(halves, (7.0, 8.0, 9.0))
        assert agreement == (7.0, 8.0)
        assert without_the_empty(found, agreement)[0] is found
    for before, after in zip(halves, found, strict=True):
        assert after.sets == before.sets[:2]
        # what was sure to be none of junk still is
        torch.testing.assert_close(after.weights.sum(dim=1), before.weights.sum(dim=1))


def test_where_all_images_are_junk_they_are_one_class() -> None:
    """For the verdict to judge: a run has an end."""
    halves = classed(0.1 * weights_of(1, 2), 10), classed(0.1 * weights_of(2, 2), 20)
    found, agreement = without_the_empty(halves, (3.0, 4.0))
    assert agreement == (4.0,)
    for before, after in zip(halves, found, strict=True):
        assert (before.numbers < 0).all() and (after.numbers == 0).all()
        assert after.sets == (before.sets[1],)


def test_likenesses_follow_their_classes() -> None:
    """Classes 0, 1, 2 become 1, 2, 0: the largest comes first."""
    pairs = [Likeness(0, 1, 0.1, 0.5), Likeness(0, 2, 0.2, 0.5), Likeness(1, 2, 0.3, 0.5)]
    found = renumbered(pairs, [2, 0, 1])
    assert [(each.one, each.other, each.kappa) for each in found] == [
        (0, 1, 0.2),
        (0, 2, 0.3),
        (1, 2, 0.1),
    ]


METHOD = Mixture(
    replace(toy("exhaustive"), refinement=AlternatingRefinement(first_radius=6.0, most_rounds=1)),
    ClassSearch(
        split=ClassSplit(radii=(5.0, 6.0), iterations=2, starts=1),
        joint=Patience(
            march_times_nats=0.0,
            shortest_march=2,
            held=1.0,
            first_images_times_nats=0.0,
            fewest_images=20,
            first_radius=4.0,
            cycle=2,
        ),
        joint_radius=5.0,
        radius=6.0,
        rounds=1,
    ),
    ClassedRefinement(rounds=1, first_radius=6.0, smallest_radius=5.0, junk=False),
)
BOX, PIXEL, COUNT = 20, 6.0, 120


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> ParticleStack:
    folder = tmp_path_factory.mktemp("simulated")
    poses = draw_poses(COUNT, max_shift_pixel=0.5, pixel_size_angstrom=PIXEL, seed=1)
    scope = Microscope(BOX, PIXEL, 2.0, draw_ctf(COUNT, 1), seed=1)
    molecule = chain_molecule(1, domains=2, residues_per_domain=40)
    simulate(molecule, poses, scope, folder)
    return read_particles(folder / "particles.star")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long cut down, every state kept, and every two classes two structures."""
    cut_down(monkeypatch)
    monkeypatch.setattr(journal_module, "_PAUSE", 0.0)
    monkeypatch.setattr(pairing, "align_maps", joining.align_maps)
    monkeypatch.setattr(solve, "_LEAST_OF_A_HALF", 5)
    monkeypatch.setattr(Likeness, "same", property(lambda self: False))


def found_by(stack: ParticleStack, journal: Journal = UNRECORDED) -> MixtureResult:
    return METHOD.run(stack, 2, Request(seed=3), Monitor(), journal)


def bits(found: MixtureResult) -> bytes:
    return packed(
        (
            found.weights,
            found.confusion,
            [(vars(each)) for each in found.likenesses],
            [
                (
                    each.rows.tolist(),
                    each.agreement,
                    each.result.map.values,
                    each.result.poses.rotations,
                    each.result.poses.shifts_angstrom,
                )
                for each in found.classes
            ],
        )
    )


class Killed(BaseException):
    """What no `except` on the way may stop."""


@contextmanager
def dying_after(part_wanted: str) -> Iterator[None]:
    """The process dies once the state of some part is written."""
    real = Checkpoints.write

    def write(self: Checkpoints, part: str, state: object) -> None:
        real(self, part, state)
        if part == part_wanted:
            raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Checkpoints, "write", write)
        yield


def test_killed_in_every_phase_and_resumed_to_the_same_bits(
    stack: ParticleStack, tmp_path: Path, quick: None
) -> None:
    whole = found_by(stack)

    def journal() -> Journal:
        return Journal(Checkpoints.resumed(tmp_path, {}, lambda text: None), every_seconds=0.0)

    for part in ("classes1/classified", "classes2/classified", "paired", "refined"):
        with pytest.raises(Killed), dying_after(part):
            found_by(stack, journal())
    assert bits(found_by(stack, journal())) == bits(whole)
    # and it is what a run should be
    assert sorted(row for each in whole.classes for row in each.rows) == [
        row for row in range(COUNT) if whole.numbers[row] >= 0
    ]
    sizes = [len(each.rows) for each in whole.classes]
    assert sizes == sorted(sizes, reverse=True)
    assert whole.asked == 2 and (whole.weights.sum(dim=1) <= 1 + 1e-5).all()
    for number, each in enumerate(whole.classes):
        assert (whole.numbers[each.rows] == number).all()
        assert len(each.result.poses.rotations) == len(each.rows)
        assert (each.result.half_set == whole.half_set[each.rows]).all()
