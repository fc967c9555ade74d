"""A device that has values, for tests where there is no card.

Inside of `Elsewhere`, tensors made on or moved to `ELSEWHERE` compute on the CPU and call
themselves of another device. As on a card, they do not mix with those of the CPU, which raises
`MixedDevicesError`, and no array shares their memory. What waits for the device is counted.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_map

from cryospin import parallel
from cryospin.kernels import dispatch

ELSEWHERE = torch.device("meta")
_CPU = torch.device("cpu")
_aten = torch.ops.aten
# a card takes indices from the CPU, and tensors of no dimensions
_INDEXING = {_aten.index.Tensor, _aten.index_put_.default, _aten.index_put.default}
_WAITING = {
    _aten._local_scalar_dense.default,
    _aten.nonzero.default,
    _aten.bincount.default,
    _aten.masked_select.default,
}


def __getattr__(name: str) -> Any:
    """This module as a backend of `cryospin.kernels`: those of the CPU, on the values."""
    from cryospin.kernels import cpu

    kernel = getattr(cpu, name)

    def computed(*given: Any) -> Any:
        def values(leaf: Any) -> Any:
            return leaf.values if isinstance(leaf, _There) else leaf

        if name == "insert_portions":
            given = ([tuple(map(values, portion)) for portion in given[0]], *given[1:])
        with _disable_current_modes():
            found = kernel(*map(values, given))
        return tree_map(lambda leaf: _There(leaf), found)

    return computed


def teach(patch: pytest.MonkeyPatch) -> None:
    """Kernels and optimizers for the device."""
    patch.setitem(dispatch._TWINS, ELSEWHERE.type, __name__)
    adam = torch.optim.Adam

    def unfused(parameters: object, fused: bool, lr: float = 1e-3) -> torch.optim.Optimizer:
        """This device has no fused update."""
        return adam(parameters, lr=lr)

    patch.setattr(torch.optim, "Adam", unfused)


def forget_tensors() -> None:
    """Empty the program's caches: another kind of tests has a device of the same name."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "cryospin":
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


class MixedDevicesError(RuntimeError):
    """Tensors of two devices met."""


class _There(Tensor):
    """A tensor of another device, whose values are kept on the CPU."""

    values: Tensor  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, values: Tensor) -> _There:
        return Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=ELSEWHERE,
        )

    def __init__(self, values: Tensor):
        self.values = values

    def tolist(self) -> Any:
        return self.values.tolist()

    def __getitem__(self, at: Any) -> Tensor:
        # torch would make a tensor of a list behind the mode's back
        parts = at if isinstance(at, tuple) else (at,)
        parts = tuple(torch.tensor(part) if isinstance(part, list) else part for part in parts)
        return super().__getitem__(parts)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise AssertionError(f"{func} outside of Elsewhere")


def _on_cpu_first(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def made(values: Any, *, device: Any = None, **options: Any) -> Tensor:
        if isinstance(values, Tensor):
            return make(values, device=device, **options)
        return make(values, **options).to(device or _CPU)

    return made


class Elsewhere(TorchDispatchMode):
    """waits: how often each operation that waits for the device was called."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()

    def __enter__(self) -> Elsewhere:
        # these two make a tensor of values behind the mode's back
        self._real = torch.tensor, torch.as_tensor
        torch.tensor, torch.as_tensor = map(_on_cpu_first, self._real)
        # a mode is of one thread
        self._alone = parallel._alone
        parallel._alone = self._alone_inside
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        torch.tensor, torch.as_tensor = self._real
        parallel._alone = self._alone
        super().__exit__(*error)
        forget_tensors()

    def _alone_inside(self) -> None:
        """A thread that ends while inside."""
        self._alone()
        super().__enter__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        flat: list[Tensor] = []
        tree_map(
            lambda leaf: flat.append(leaf) if isinstance(leaf, Tensor) else None, (args, kwargs)
        )
        there = [tensor for tensor in flat if isinstance(tensor, _There)]
        empty = [t for t in flat if t.device == ELSEWHERE and not isinstance(t, _There)]
        assert not empty, f"{func}: made behind the mode's back, without values"
        target = kwargs.get("device")
        leaves = bool(there) and target is not None and torch.device(target).type != "meta"
        arrives = target is not None and torch.device(target).type == "meta"
        copies = func in (_aten.copy_.default, _aten._to_copy.default)
        if there and not copies and func not in _INDEXING:
            here = [t for t in flat if not isinstance(t, _There) and t.ndim]
            if here:
                raise MixedDevicesError(f"{func}: tensors of the CPU among those of a card")
        if there and func in _WAITING:
            self.waits[str(func)] += 1
        if arrives:
            kwargs["device"] = _CPU

        def unwrapped(leaf: Any) -> Any:
            return leaf.values if isinstance(leaf, _There) else leaf

        found = func(*tree_map(unwrapped, args), **tree_map(unwrapped, kwargs))
        if func is _aten.copy_.default:
            return args[0]
        if leaves or not (there or arrives):
            return found
        # what was written to stays the tensor it is
        known = {id(tensor.values): tensor for tensor in there}

        def wrapped(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            # the wrapper has no bit that says conjugate
            leaf = leaf.resolve_conj().resolve_neg()
            return known[id(leaf)] if id(leaf) in known else _There(leaf)

        return tree_map(wrapped, found)
