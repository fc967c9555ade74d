"""A whole run with classes: joined where they are one, and resumed to the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cryospin.explore.patience import Patience
from cryospin.io.relion import read_particles
from cryospin.journal import journal as journal_module
from cryospin.journal.checkpoints import Checkpoints
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.journal.tree import packed
from cryospin.mixture import fewer, pairing
from cryospin.mixture.class_search import ClassSearch
from cryospin.mixture.distinct import Likeness
from cryospin.mixture.refinement import ClassedRefinement
from cryospin.mixture.solve import Mixture, MixtureResult, renumbered
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
from reconstruct_toys import cut_down, toy


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
    monkeypatch.setattr(fewer, "_LEAST_OF_A_HALF", 5)
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
