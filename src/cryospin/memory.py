"""How much memory a run may take."""

from __future__ import annotations

import os

from cryospin.control_groups import memory_limit

_SHARE = 0.6  # of what is granted, unless the user says how much


def memory_budget(given_gb: float | None = None) -> int:
    """Bytes: what the user gives, or a share of what the machine has and a scheduler or container
    grants."""
    if given_gb is not None:
        return int(1e9 * given_gb)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = memory_limit()
    return int(_SHARE * (machine if limit is None else min(machine, limit)))
