"""Work shared out, work done together: results in order, whatever runs when."""

from __future__ import annotations

import threading
import time

import numba
import pytest
import torch

from cryospin.parallel import in_blocks, in_image_blocks, together


def test_together_returns_results_in_order_and_restores_numba() -> None:
    before = numba.get_num_threads()
    jobs = [lambda i=i: (i, numba.get_num_threads()) for i in range(3)]
    results = together(jobs)
    assert [number for number, _ in results] == [0, 1, 2]
    assert all(1 <= threads <= before for _, threads in results)
    assert numba.get_num_threads() == before


def test_together_passes_a_failure_on() -> None:
    def fails() -> int:
        raise ValueError("half-set 2")

    with pytest.raises(ValueError, match="half-set 2"):
        together([lambda: 1, fails])


def test_blocks_come_in_order() -> None:
    assert list(in_blocks(lambda rows: (rows.start, rows.stop), 5, 2)) == [(0, 2), (2, 4), (4, 5)]


@pytest.mark.parametrize("threads", [1, 2, 64])
@pytest.mark.parametrize("box", [64, 1024, 2048, 8192])
def test_images_in_work_are_bounded_by_their_bytes(
    monkeypatch: pytest.MonkeyPatch, box: int, threads: int
) -> None:
    monkeypatch.setattr(numba, "get_num_threads", lambda: threads)
    lock, now, most = threading.Lock(), [0], [0]

    def work(rows: slice) -> int:
        with lock:
            now[0] += rows.stop - rows.start
            most[0] = max(most[0], now[0])
        time.sleep(0.002)
        with lock:
            now[0] -= rows.stop - rows.start
        return rows.stop - rows.start

    count = 40 * max(1, 2**22 // (4 * box**2))
    assert sum(in_image_blocks(work, count, box)) == count
    # one image is in work whatever its size
    assert most[0] * 4 * box**2 <= max(2**26, 4 * box**2)


def test_blocks_of_images_have_no_more_than_asked() -> None:
    sizes = list(in_image_blocks(lambda rows: rows.stop - rows.start, 250, 16, most=100))
    assert sizes == [100, 100, 50]


def test_work_in_blocks_has_one_thread() -> None:
    """What it calls asks numba how many: transforms of volumes would start as many again."""
    assert list(in_blocks(lambda rows: numba.get_num_threads(), 4, 1)) == [1] * 4
    assert [*together([numba.get_num_threads])] == [numba.get_num_threads()]


def test_a_thread_of_ours_has_no_others_of_torch() -> None:
    """A product split by OpenMP has other last bits than a whole one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert list(in_blocks(lambda rows: torch.get_num_threads(), 4, 1, threads=2)) == [1] * 4
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
