"""Which device a run is computed on, and what is said where it cannot be the one asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
import torch

from cryospin.devices import check_device_name, find_device
from cryospin.errors import ResourceError, UsageError
from cryospin.particles.plan import card_plan

Card = Callable[..., None]


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    """Makes torch tell of cards that are not there."""

    def made(
        count: int = 1,
        capability: tuple[int, int] = (9, 0),
        free: int = 2**35,
        compiler: str | None = "gcc",
    ) -> None:
        monkeypatch.setattr(shutil, "which", lambda name: compiler)
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Card 9000")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2**36))

    return made


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", "", "cpu:0"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UsageError, match="fix: give auto, cpu, cuda or cuda:N"):
        check_device_name(name)


def test_cpu_is_the_cpu_whatever_there_is(card: Card) -> None:
    card()
    assert find_device("cpu")[0] == torch.device("cpu")


@pytest.mark.parametrize("name, number", [("auto", 0), ("cuda", 0), ("cuda:1", 1)])
def test_a_card_that_can_is_taken(card: Card, name: str, number: int) -> None:
    card(count=2)
    device, told = find_device(name)
    assert device == torch.device("cuda", number) and "Card 9000" in told


FAULTS = [
    ({"count": 0}, UsageError, "no card found"),
    ({"capability": (6, 1)}, ResourceError, "capability 6.1"),
    ({"free": 2**29}, ResourceError, "0.5 GiB"),
    ({"compiler": None}, ResourceError, "C compiler"),
]


@pytest.mark.parametrize("there, error, words", FAULTS)
def test_what_is_asked_for_and_cannot_be_is_refused(
    card: Card, there: dict, error: type[Exception], words: str
) -> None:
    card(**there)
    with pytest.raises(error, match=words) as refused:
        find_device("cuda")
    assert "fix:" in str(refused.value)


@pytest.mark.parametrize("there, error, words", FAULTS)
def test_auto_takes_the_cpu_and_says_why(
    card: Card, there: dict, error: type[Exception], words: str
) -> None:
    card(**there)
    device, told = find_device("auto")
    assert device.type == "cpu" and words in told


def test_a_card_there_is_not(card: Card) -> None:
    card(count=1)
    with pytest.raises(UsageError, match="no card 3: there are 1"):
        find_device("cuda:3")


def test_a_torch_without_cuda_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(UsageError, match="built for CPUs alone"):
        find_device("cuda")


def test_what_the_plan_says_would_fit_fits() -> None:
    free = 80 * 2**30
    fitting = card_plan(1, 128, 64, free).fitting
    assert 100_000 < fitting < 2_000_000
    assert card_plan(fitting, 128, 64, free).bytes <= free
    assert card_plan(fitting + 2, 128, 64, free).bytes > free
    # coefficients that are not kept take no room
    assert card_plan(1, 128, 32, free).fitting > 3 * fitting
    assert card_plan(1, 128, 64, 2**30).fitting == 0
