"""Work shared out, work done together: results in order, whatever runs when."""

from __future__ import annotations

import numba
import pytest

from cryospin.parallel import in_blocks, together


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
