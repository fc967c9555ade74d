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

_Result = TypeVar("_Result")


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
    in work or in memory. `work` must not start threads of its own.
    """
    threads = numba.get_num_threads() if threads is None else threads
    waiting = 2 * threads if waiting is None else waiting
    pending: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, count, block):
            pending.append(pool.submit(work, slice(start, min(start + block, count))))
            if len(pending) >= waiting:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def together(jobs: Sequence[Callable[[], _Result]]) -> list[_Result]:
    """Results of computations that have nothing to share out, each on a thread of its own.

    One after the other where numba's threads cannot be entered from several of Python's.
    """
    threads = min(len(jobs), numba.get_num_threads())
    if threads > 1 and not _numba_takes_several():
        threads = 1

    def alone(rows: slice) -> _Result:
        before = numba.get_num_threads()
        # numba keeps this number per thread of Python's
        numba.set_num_threads(max(1, before // threads))
        try:
            return jobs[rows.start]()
        finally:
            numba.set_num_threads(before)

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
