from __future__ import annotations

import resource

from cryospin.run.memory import memory_in_use


def test_memory_in_use_is_no_more_than_its_peak() -> None:
    used = memory_in_use()["in use"]
    assert 10_000_000 < used <= 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1.01
