"""Transforms of volumes: on all threads of a run, and the same bits on any number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import pytest
import scipy.fft
import torch

from cryospin.fourier.volume import volume_of_spectrum, volume_spectrum
from cryospin.parallel import single_threaded_torch

VALUES = torch.randn(2, 12, 10, 8, generator=torch.Generator().manual_seed(0))


def test_against_torch_there_and_back() -> None:
    spectrum = volume_spectrum(VALUES)
    torch.testing.assert_close(spectrum, torch.fft.rfftn(VALUES, dim=(-3, -2, -1)))
    torch.testing.assert_close(volume_of_spectrum(spectrum, (12, 10, 8)), VALUES)


def test_a_run_transforms_on_all_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run holds torch to one thread; that is not the number for scipy."""
    workers = []

    def heard(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **keywords: Any) -> Any:
            workers.append(keywords["workers"])
            return function(*args, **keywords)

        return call

    monkeypatch.setattr(scipy.fft, "rfftn", heard(scipy.fft.rfftn))
    monkeypatch.setattr(scipy.fft, "irfftn", heard(scipy.fft.irfftn))
    monkeypatch.setattr(numba, "get_num_threads", lambda: 3)
    with single_threaded_torch():
        volume_of_spectrum(volume_spectrum(VALUES), (12, 10, 8))
    assert workers == [3, 3]


def test_threads_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(numba, "get_num_threads", lambda threads=threads: threads)
        spectrum = volume_spectrum(VALUES)
        found.append((spectrum, volume_of_spectrum(spectrum, (12, 10, 8))))
    for spectrum, values in found[1:]:
        assert torch.equal(spectrum, found[0][0]) and torch.equal(values, found[0][1])
