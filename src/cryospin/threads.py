"""How many threads the computing libraries may use, said once for all of them."""

from __future__ import annotations

import math
import os
import sys

from cryospin.errors import UsageError
from cryospin.torchrun import ranks_on_this_machine


def available_cores() -> int:
    """Cores this process may use: what a scheduler pins it to and a container's quota leave.

    Python's and the libraries' own counts know of pinning only; more threads than the quota
    are stopped together, each time it is used up.
    """
    from cryospin.control_groups import cpu_quota

    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def configure_threads(threads: int | None = None) -> int:
    """Let numba and torch use `threads` (default: all cores available, or this rank's share of
    them); returns the number.

    Call it before numba or torch are imported by anything else: their pools are made once.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"--threads must be at least 1, got {threads}")
    share = max(1, available_cores() // ranks_on_this_machine())
    count = share if threads is None else threads
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(count)
    if "numba" not in sys.modules:
        # the size of its pool; numba refuses another value once the pool is launched
        os.environ["NUMBA_NUM_THREADS"] = str(count)

    import numba
    import torch

    torch.set_num_threads(count)
    # a pool launched earlier (a notebook, a test) can be used in part but not grow
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    return count
