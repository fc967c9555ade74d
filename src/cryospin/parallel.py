"""Work on particles in blocks of a fixed size, on several threads, results in order.

torch's own threads split sums, products and transforms in ways that change their last bits
with the number of threads, differently on every processor; an alternation of poses and maps
makes degrees of that. Here the blocks are what runs in parallel, each on one thread, so
results do not depend on how many there are. The compiled kernels do the same by themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numba
import torch

CPU = torch.device("cpu")

_Result = TypeVar("_Result")
_LARGER_ON_A_CARD = 100  # a block for a card than one for a thread
_BLOCK_BYTES = 2**22  # of images in a block
_IMAGE_BYTES = 2**26  # of images in all blocks at once; working on them takes up to 8 times this


@contextmanager
def single_threaded_torch() -> Iterator[None]:
    """For the length of a computation that shares out its work by `in_blocks`."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_blocks(
    work: Callable[[slice], _Result],
    count: int,
    block: int,
    threads: int | None = None,
    waiting: int | None = None,
) -> Iterator[_Result]:
    """`work(rows)` for each block of `count` rows, in order.

    `threads` defaults to what numba may use; at most `waiting` blocks (two per thread) are
    in work or in memory, on however many threads. `work` must not start threads of its own.
    """
    threads = numba.get_num_threads() if threads is None else threads
    waiting = 2 * threads if waiting is None else min(waiting, 2 * threads)
    pending: deque[Future[_Result]] = deque()
    own = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=_alone) as pool:
            for start in range(0, count, block):
                pending.append(pool.submit(work, slice(start, min(start + block, count))))
                if len(pending) >= waiting:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
    finally:
        torch.set_num_threads(own)  # a part of torch's setting is everybody's


def _alone() -> None:
    """A thread of ours has no others: neither of numba's nor, in a product that OpenMP would
    split, of torch's, whose setting for other threads is the environment's."""
    numba.set_num_threads(1)
    torch.set_num_threads(1)


def in_blocks_on(
    device: torch.device, work: Callable[[slice], _Result], count: int, block: int
) -> Iterator[_Result]:
    """`in_blocks` of work on tensors of a device: a card has threads of its own, so there the
    blocks are large and come one after the other."""
    if device.type == "cpu":
        yield from in_blocks(work, count, block)
        return
    step = block * _LARGER_ON_A_CARD
    for start in range(0, count, step):
        yield work(slice(start, min(start + step, count)))


def in_image_blocks(
    work: Callable[[slice], _Result],
    count: int,
    box: int,
    most: int | None = None,
    at_once: int | None = None,
    larger: int = 1,
) -> Iterator[_Result]:
    """`in_blocks` over images of `box` pixels, sized by their bytes: 4 MB, 64 MB in work at once.

    So a pass over large images takes no more memory than one over small ones, nor one on 64
    threads more than one on 16. A block has at most `most` images, all blocks about `at_once`.
    `larger`: times, all of these, for a card.
    """
    image_bytes = 4 * box**2
    block = max(1, _BLOCK_BYTES * larger // image_bytes)
    block = block if most is None else min(block, most * larger)
    at_once = at_once if at_once is None else at_once * larger
    waiting = _IMAGE_BYTES * larger // (block * image_bytes)
    waiting = waiting if at_once is None else min(waiting, at_once // block)
    return in_blocks(work, count, block, waiting=max(1, waiting))


def together(jobs: Sequence[Callable[[], _Result]]) -> list[_Result]:
    """Results of computations that have nothing to share out, each on a thread of its own.

    One after the other where numba's threads cannot be entered from several of Python's.
    """
    threads = min(len(jobs), numba.get_num_threads())
    if threads > 1 and not _numba_takes_several():
        threads = 1

    each = max(1, numba.get_num_threads() // threads)

    def alone(rows: slice) -> _Result:
        numba.set_num_threads(each)  # kept per thread of Python's
        return jobs[rows.start]()

    return list(in_blocks(alone, len(jobs), 1, threads))


def _numba_takes_several() -> bool:
    """Its own pool, the last resort where neither OpenMP nor TBB is found, aborts the process."""
    _woken()
    return bool(numba.threading_layer() != "workqueue")


@numba.njit(parallel=True)
def _woken() -> int:
    """Numba chooses its pool at the first parallel loop."""
    total = 0
    for i in numba.prange(2):
        total += i
    return total
