"""A whole run with classes: joined where they are one, and resumed to the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cryospin.errors import InterruptedRunError
from cryospin.io.relion import read_particles
from cryospin.journal.checkpoints import Checkpoints
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.journal.signals import Signals
from cryospin.journal.tree import packed
from cryospin.mixture import solve
from cryospin.mixture.distinct import Likeness
from cryospin.mixture.result import MixtureResult, renumbered
from cryospin.mixture.solve import Mixture
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.request import Request
from cryospin.types import ParticleStack
from mixture_toys import COUNT, METHOD, SEMI_AMORTISED, cut_down_classes, simulated


def test_likenesses_follow_their_classes() -> None:
    """Classes 0, 1, 2 become 1, 2, 0: the largest comes first."""
    pairs = [Likeness(0, 1, 0.1, 0.5), Likeness(0, 2, 0.2, 0.5), Likeness(1, 2, 0.3, 0.5)]
    found = renumbered(pairs, [2, 0, 1])
    assert [(each.one, each.other, each.kappa) for each in found] == [
        (0, 1, 0.2),
        (0, 2, 0.3),
        (1, 2, 0.1),
    ]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> ParticleStack:
    return read_particles(simulated(tmp_path_factory.mktemp("simulated")))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_down_classes(monkeypatch)


def found_by(method: Mixture, stack: ParticleStack, journal: Journal = UNRECORDED) -> MixtureResult:
    return method.run(stack, 2, Request(seed=3), Monitor(), journal)


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


@pytest.mark.parametrize("method", [METHOD, SEMI_AMORTISED], ids=["exhaustive", "cryospin"])
def test_killed_in_every_phase_and_resumed_to_the_same_bits(
    method: Mixture, stack: ParticleStack, tmp_path: Path, quick: None
) -> None:
    whole = found_by(method, stack)

    def journal() -> Journal:
        return Journal(Checkpoints.resumed(tmp_path, {}, lambda text: None), every_seconds=0.0)

    parts = ["classes1/2 at once/at common poses", "paired at common poses, 2"]
    parts += [f"classes{half}/2 at once, start 0/jointly" for half in (1, 2)]
    parts += ["paired jointly, 2, starts 0 and 0", "refined"]
    if method is METHOD:
        parts += ["class1/alone/start/half2/attempt1/explored"]
    for part in parts:
        with pytest.raises(Killed), dying_after(part):
            found_by(method, stack, journal())
    assert bits(found_by(method, stack, journal())) == bits(whole)
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


@pytest.mark.parametrize("during", ["classes of half-set 1: joint search", "refine classes"])
def test_sigterm_does_not_wait_for_a_stage_to_end(
    during: str, stack: ParticleStack, tmp_path: Path, quick: None
) -> None:
    signals, heard = Signals(), []

    def progress(label: str, done: int, total: int) -> None:
        heard.append((label, done))
        signals.stopping |= label == during

    journal = Journal(Checkpoints.resumed(tmp_path, {}, lambda text: None), signals)
    with pytest.raises(InterruptedRunError):
        METHOD.run(stack, 2, Request(seed=3), Monitor(progress), journal)
    assert heard[-1] == (during, 1)


@pytest.mark.parametrize(
    ("asked", "tried_without", "imposed"),
    [("C3", True, "auto"), ("O", True, "auto"), ("C1", True, "C1"), ("O", False, "O")],
)
def test_a_group_is_left_to_each_class(
    asked: str,
    tried_without: bool,
    imposed: str,
    stack: ParticleStack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []

    def prepare(stack: ParticleStack, request: Request, monitor: Monitor) -> None:
        seen.append(request.symmetry)
        raise Killed

    monkeypatch.setattr(solve, "made_ready", prepare)
    starts = replace(METHOD.one.starts, tried_without=tried_without)
    method = replace(METHOD, one=replace(METHOD.one, starts=starts))
    with pytest.raises(Killed):
        method.run(stack, 2, Request(symmetry=asked), Monitor())
    assert seen == [imposed]
