"""Who computes a kernel.

Tensors choose: float32 without a gradient goes to the twin of its device, everything else to
`reference`. A new backend is a module with the kernels' functions and a line in `_TWINS`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from cryospin.kernels import reference

# of a device's type
_TWINS = {"cpu": "cryospin.kernels.cpu", "cuda": "cryospin.kernels.cuda"}
_only_reference = False


@contextmanager
def reference_only() -> Iterator[None]:
    """Inside, the plain torch twins compute everything: slow, and for tests."""
    global _only_reference
    before, _only_reference = _only_reference, True
    try:
        yield
    finally:
        _only_reference = before


@contextmanager
def same_bits(device: torch.device) -> Iterator[None]:
    """Inside, a card gives the same bits every time: its sums are of integers, or sorted. The CPU
    always does."""
    if device.type == "cpu":
        yield
        return
    from cryospin.kernels.cuda_sums import deterministic_sums

    # read when the first product is made
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        with deterministic_sums():
            yield
    finally:
        torch.use_deterministic_algorithms(before)


def fit_compiled(*tensors: Tensor) -> bool:
    """Whether compiled kernels would compute on such tensors, were no gradient wanted."""
    return not _only_reference and all(
        tensor.device.type in _TWINS
        and tensor.dtype.itemsize == (8 if tensor.dtype.is_complex else 4)
        for tensor in tensors
    )


def twin_of(*tensors: Tensor) -> Any:
    """The module that computes on such tensors."""
    plain = fit_compiled(*tensors) and not any(tensor.requires_grad for tensor in tensors)
    return _compiled(tensors[0].device.type) if plain else reference


@lru_cache
def _compiled(device_type: str) -> Any:
    """Imported when first needed: each brings a compiler."""
    return import_module(_TWINS[device_type])
