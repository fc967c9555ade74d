"""Several processes that compute one run: ranks, as `torchrun` starts them.

All ranks run the same program. Nobody sums in the order of arrival: a piece of work is done by one
rank, whole, and its result sent to the others as bytes, so that any number of ranks gives the same
bits as one. Each half-set has a group of ranks of its own, which reads that half's images and no
others; groups exchange nothing but what the two halves would tell each other in one process. What
is computed once for all is computed by the first rank of a group: the others take its word, so
that processors which round otherwise do not part ways.

With one rank, `of_halves`, `each` and `led` call their functions and that is all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from typing import Any, TypeVar

import torch

from cryospin import errors
from cryospin.errors import CryospinError
from cryospin.journal.tree import packed, unpacked
from cryospin.torchrun import ranks_asked_for

_Value = TypeVar("_Value")
_PATIENCE = timedelta(days=30)  # others may explore for hours; who dies closes his connection


@dataclass(frozen=True)
class _Group:
    """Ranks that work together. members: their numbers, ascending; the first one leads."""

    members: tuple[int, ...]

    @property
    def leader(self) -> int:
        return self.members[0]

    @property
    def alone(self) -> bool:
        return len(self.members) == 1


class _Here:
    """This process. group: whom it works with at the moment."""

    rank = 0
    group = _Group((0,))
    halves = (group, group)
    device = "cpu"


_here = _Here()


@contextmanager
def ranks() -> Iterator[None]:
    """Inside, the processes that were started together know each other.

    Raises
    ------
    UsageError: they do not find each other.
    """
    size = ranks_asked_for()
    if size == 1:
        yield
        return
    from torch import distributed

    try:
        distributed.init_process_group("gloo", timeout=_PATIENCE)
    except (ValueError, RuntimeError) as error:
        fix = "start all ranks with torchrun"
        raise errors.UsageError(
            f"the {size} ranks do not find each other: {error}\n  fix: {fix}"
        ) from error
    before = vars(_here).copy()
    everyone = tuple(range(size))
    _here.rank, _here.group = distributed.get_rank(), _Group(everyone)
    _here.halves = _Group(everyone[0::2]), _Group(everyone[1::2])
    for group in (_here.group, *_here.halves):
        _handle(group)  # in the same order everywhere
    try:
        yield
    finally:
        vars(_here).clear()
        vars(_here).update(before)
        _handle.cache_clear()
        distributed.destroy_process_group()


def compute_on(device: torch.device) -> None:
    """Where tensors that come from other ranks' cards are put."""
    _here.device = str(device)


def count() -> int:
    """Ranks in this process's group."""
    return len(_here.group.members)


def leads() -> bool:
    """Whether this process leads its group: of all, who writes; of a half-set's, who keeps its
    states."""
    return _here.rank == _here.group.leader


def number() -> int:
    """This rank's number among all."""
    return _here.rank


def holds(half: int) -> bool:
    """Whether this process has the images of half-set 0 or 1."""
    return _here.rank in _here.halves[half].members


def of_halves(work: Callable[[int], _Value], which: Sequence[int] = (0, 1)) -> list[_Value]:
    """`work(half)` of each half-set, by the ranks that have its images; results for everyone.

    A result is a `journal.tree.Tree`.

    Raises
    ------
    CryospinError: what it raised on any rank.
    """
    if _here.group.alone:
        return [work(half) for half in which]
    mine = {half: _within(_here.halves[half], partial(work, half)) for half in which if holds(half)}
    return [_told(mine.get(half), _here.halves[half].leader, _here.group) for half in which]


def each(jobs: Sequence[Callable[[], _Value]]) -> list[_Value]:
    """Pieces of work that have nothing to do with each other, dealt to the ranks of this group;
    results (`Tree`) for all of them.

    Raises
    ------
    As `of_halves`.
    """
    group = _here.group
    if group.alone:
        return [job() for job in jobs]
    owners = [group.members[number % len(group.members)] for number in range(len(jobs))]
    mine = {
        number: _within(_Group((_here.rank,)), job)
        for number, (owner, job) in enumerate(zip(owners, jobs, strict=True))
        if owner == _here.rank
    }
    return [_told(mine.get(number), owner, group) for number, owner in enumerate(owners)]


def led(compute: Callable[[], _Value]) -> _Value:
    """What the first rank of this group computes (a `Tree`), for all of them.

    Raises
    ------
    As `of_halves`.
    """
    return each([compute])[0]


def _within(group: _Group, work: Callable[[], _Value]) -> Callable[[], bytes]:
    """The work done at once, with this group about it; what it found or raised, to be sent."""
    before, _here.group = _here.group, group
    try:
        found = packed((True, work()))
    except CryospinError as error:
        raised = error

        def fail() -> bytes:
            raise raised

        return fail
    finally:
        _here.group = before
    return lambda: found


def _told(mine: Callable[[], bytes] | None, owner: int, group: _Group) -> Any:
    """What the owner's work found, sent to the group; raises what it raised."""
    raised: CryospinError | None = None
    data = b""
    if mine is not None:
        try:
            data = mine()
        except CryospinError as error:
            raised = error
            data = packed((False, type(error).__name__, str(error)))
    data = _broadcast(data, owner, group)
    if raised is not None:
        raise raised
    well, *found = unpacked(data, _here.device)
    if well:
        return found[0]
    raise _as_it_was(*found)


def _as_it_was(name: str, words: str) -> CryospinError:
    """An error of another rank: of its kind, so that exit codes are the same everywhere."""
    kind = getattr(errors, name, CryospinError)
    error: CryospinError = kind.__new__(kind)
    Exception.__init__(error, words)
    return error


def _broadcast(data: bytes, owner: int, group: _Group) -> bytes:
    from torch import distributed

    length = torch.tensor([len(data)])
    try:
        distributed.broadcast(length, owner, group=_handle(group))
        if _here.rank == owner:
            content = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        else:
            content = torch.empty(int(length), dtype=torch.uint8)
        distributed.broadcast(content, owner, group=_handle(group))
    except RuntimeError as error:
        raise errors.ResourceError(
            f"rank {_here.rank} cannot go on: another rank has ended\n"
            "  fix: the same command with --resume, on any number of ranks"
        ) from error
    return content.numpy().tobytes()


@cache
def _handle(group: _Group) -> Any:
    """torch's of this group."""
    from torch import distributed

    return distributed.new_group(list(group.members), backend="gloo", timeout=_PATIENCE)
