"""States as bytes: trees of tensors, numbers and records, exact to the last bit.

One safetensors file: arrays as they are, the tree's shape and its scalars as JSON beside them.
Reading it runs no code: a record is made only of a dataclass of this package.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from torch import Tensor

from cryospin.errors import UsageError
from cryospin.journal.settings import START_OVER

Tree = Any
"""None, bool, int, float, str, tensor, array, or a tuple, list, dict or dataclass of such."""

_PACKAGE = __name__.split(".")[0]


def packed(tree: Tree) -> bytes:
    """Raises TypeError for anything that is not a `Tree`."""
    arrays: dict[str, np.ndarray] = {}
    shape = json.dumps(_described(tree, arrays))
    return safetensors.numpy.save(arrays, {"tree": shape})


def unpacked(data: bytes, device: str = "cpu") -> Tree:
    """The inverse of `packed`; tensors are in memory of their own, on the device if they were on a
    card, else on the CPU.

    Raises
    ------
    UsageError: a record is none of this package, or had other fields when it was kept.
    """
    # a file begins with the length of its header
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    arrays = safetensors.numpy.load(data)
    return _made(json.loads(header["__metadata__"]["tree"]), arrays, device)


def is_finite(tree: Tree) -> bool:
    """Whether no tensor or array holds a value that is none; plain numbers may."""
    if isinstance(tree, Tensor):
        return bool(torch.isfinite(tree).all())
    if isinstance(tree, np.ndarray):
        return bool(np.isfinite(tree).all())
    if isinstance(tree, dict):
        return all(map(is_finite, tree.values()))
    if isinstance(tree, tuple | list):
        return all(map(is_finite, tree))
    if is_dataclass(tree):
        return all(is_finite(getattr(tree, field.name)) for field in fields(tree))
    return True


def on_device(tree: Tree, device: str) -> Tree:
    """The tree with its tensors on a device; the arrays of numpy stay."""
    if isinstance(tree, Tensor):
        return tree.to(device)
    if isinstance(tree, dict):
        return {key: on_device(value, device) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(on_device(item, device) for item in tree)
    if is_dataclass(tree) and not isinstance(tree, type):
        return replace(
            tree, **{f.name: on_device(getattr(tree, f.name), device) for f in fields(tree)}
        )
    return tree


def _described(tree: Tree, arrays: dict[str, np.ndarray]) -> Any:
    """JSON in which a scalar is itself and all else an object {kind: content}."""
    if tree is None or type(tree) in (bool, int, float, str):
        return tree
    if isinstance(tree, Tensor):
        # the order of axes in memory, too: products may differ by it in their last bits
        strides = tree.stride()
        order = sorted(range(tree.ndim), key=lambda axis: -strides[axis])
        laid_out = tree.detach().cpu().permute(order)
        where = "tensor" if tree.device.type == "cpu" else "tensor of a card"
        return {where: [_filed(laid_out.numpy(), arrays), order]}
    if isinstance(tree, np.ndarray):
        return {"array": _filed(tree, arrays)}
    if type(tree) in (tuple, list):
        return {type(tree).__name__: [_described(item, arrays) for item in tree]}
    if isinstance(tree, dict):
        pairs = [[key, _described(value, arrays)] for key, value in tree.items()]
        return {"dict": pairs}
    kind = type(tree)
    if is_dataclass(tree) and kind.__module__.split(".")[0] == _PACKAGE:
        values = {f.name: _described(getattr(tree, f.name), arrays) for f in fields(tree)}
        return {"record": [kind.__module__, kind.__qualname__, values]}
    raise TypeError(f"a {kind.__name__} cannot be part of a checkpoint")


def _filed(values: np.ndarray, arrays: dict[str, np.ndarray]) -> str:
    name = str(len(arrays))
    # ascontiguousarray would make a vector of a number
    arrays[name] = np.array(values, order="C")
    return name


def _made(described: Any, arrays: dict[str, np.ndarray], device: str) -> Tree:
    if not isinstance(described, dict):
        return described
    ((kind, content),) = described.items()
    if kind in ("tensor", "tensor of a card"):
        name, order = content
        made = torch.tensor(arrays[name], device="cpu" if kind == "tensor" else device)
        return made.permute([order.index(axis) for axis in range(len(order))])
    if kind == "array":
        return arrays[content].copy()
    if kind == "dict":
        return {key: _made(value, arrays, device) for key, value in content}
    if kind == "record":
        module, name, values = content
        kind = _record(module, name)
        _check_fields(kind, values)
        return kind(**{field: _made(value, arrays, device) for field, value in values.items()})
    items = [_made(item, arrays, device) for item in content]
    return tuple(items) if kind == "tuple" else items


def _record(module: str, name: str) -> type:
    """A dataclass of this package. Raises UsageError for anything else."""
    if module.split(".")[0] == _PACKAGE:
        with suppress(ModuleNotFoundError):
            found = getattr(import_module(module), name, None)
            if isinstance(found, type) and is_dataclass(found):
                return found
    raise UsageError(f"{module}.{name} cannot be part of a checkpoint\n  fix: {START_OVER}")


def _check_fields(kind: Any, values: dict[str, Any]) -> None:
    """Raise UsageError where a record was kept with other fields than it has now."""
    known = {field.name for field in fields(kind)}
    for word, names in (("unknown", values.keys() - known), ("missing", known - values.keys())):
        if names:
            raise UsageError(
                f"a checkpoint of another version of cryospin: {word} in {kind.__name__}: "
                f"{', '.join(sorted(names))}\n  fix: {START_OVER}"
            )
