"""What a run may take of memory: what is given, else a share of what there is."""

from __future__ import annotations

import os

import pytest

from cryospin import memory
from cryospin.memory import memory_budget


def machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_given() -> None:
    assert memory_budget(2.5) == 2_500_000_000


@pytest.mark.parametrize("limit", [None, 2**50, 2**30])
def test_by_default(monkeypatch: pytest.MonkeyPatch, limit: int | None) -> None:
    monkeypatch.setattr(memory, "memory_limit", lambda: limit)
    granted = machine() if limit is None else min(machine(), limit)
    assert memory_budget() == int(0.6 * granted)
