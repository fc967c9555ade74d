"""What torchrun says in the environment."""

from __future__ import annotations

import pytest

from cryospin import torchrun
from cryospin.threads import configure_threads

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    # set by something else: without a rank it says nothing
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert (torchrun.ranks_asked_for(), torchrun.rank_asked_for()) == (1, 0)
    assert (torchrun.ranks_on_this_machine(), torchrun.rank_on_this_machine()) == (1, 0)


def test_one_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(NAMES, ("5", "8", "1", "4"), strict=True):
        monkeypatch.setenv(name, value)
    assert (torchrun.ranks_asked_for(), torchrun.rank_asked_for()) == (8, 5)
    assert (torchrun.ranks_on_this_machine(), torchrun.rank_on_this_machine()) == (4, 1)


def test_each_takes_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cryospin.threads.available_cores", lambda: 9)
    for name, value in zip(NAMES, ("0", "4", "0", "4"), strict=True):
        monkeypatch.setenv(name, value)
    import torch

    before = torch.get_num_threads()
    try:
        assert configure_threads() == 2
    finally:
        torch.set_num_threads(before)
