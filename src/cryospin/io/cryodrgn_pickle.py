"""Arrays out of cryoDRGN's pickled files, without running what is in the file.

A pickle is a program for a stack machine. This reader carries out only those of its
instructions that put numbers, texts, tuples, lists and numpy arrays together, and makes the
arrays itself: a restricted `Unpickler` would still call numpy's own loader, which takes as
much memory as the file says it wants.
"""

from __future__ import annotations

import pickletools
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cryospin.errors import BadDataError

_NUMBERS = re.compile(r"[fiu][1248]|b1")
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, type] = {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict}
# instructions that put their argument on the stack
_VALUE = re.compile(
    r"(BIN)?INT[12]?|LONG[14]?|(BIN)?FLOAT|STRING|(SHORT_)?BINSTRING|UNICODE"
    r"|(SHORT_)?BINUNICODE8?|(SHORT_)?BINBYTES8?|BYTEARRAY8"
)
_SILENT = frozenset({"PROTO", "FRAME"})
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_DAMAGE = (
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    AttributeError,
    AssertionError,
    RecursionError,
    MemoryError,
    struct.error,
)
# a file of arrays has some sixty; Python objects take many times the byte that makes them
_MAX_STEPS = 10_000
_FIX = "give the file cryoDRGN wrote (parse_pose_star, parse_ctf_star, ...)"


class _Mark:
    """Where a tuple or list begins on the stack."""


_MARK = _Mark()


class _Refused(Exception):
    """An instruction or a name that has no place among arrays."""


@dataclass
class _Dtype:
    """A numpy type that is being put together."""

    code: str
    order: str = "<"

    def resolve(self) -> np.dtype:
        if not _NUMBERS.fullmatch(self.code):
            raise _Refused(f"an array of {self.code[:20]!r}, not of numbers")
        return np.dtype(("<" if self.order in "<|=" else ">") + self.code)


@dataclass
class _Array:
    """A numpy array that is being put together; its bytes are those in the file."""

    shape: tuple[int, ...] = ()
    dtype: _Dtype = field(default_factory=lambda: _Dtype("f4"))
    column_major: bool = False
    data: bytes = b""

    def resolve(self) -> np.ndarray:
        values = np.frombuffer(self.data, self.dtype.resolve())
        if len(self.shape) > 8 or any(not 0 <= size <= len(values) for size in self.shape):
            raise _Refused("an array whose shape is not that of its data")
        return values.reshape(self.shape, order="F" if self.column_major else "C")


def _latin1(text: str, coding: str) -> bytes:
    """How Python 3 writes bytes in the protocols of Python 2."""
    if coding != "latin1":
        raise _Refused(f"text coded as {coding[:20]!r}")
    return text.encode("latin1")


def _as_bytes(data: str | bytes | bytearray) -> bytes:
    # pickletools gives the byte strings of Python 2 as latin-1 text
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


def _frombuffer(data: Any, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    return _Array(tuple(shape), dtype, order == "F", _as_bytes(data))


_NDARRAY = object()
_CALLABLE: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): lambda code, *_: _Dtype(code),
    ("_codecs", "encode"): _latin1,
} | {
    (f"numpy.{core}.{module}", name): make
    for core in ("core", "_core")
    for module, name, make in (
        ("multiarray", "_reconstruct", lambda *_: _Array()),
        ("numeric", "_frombuffer", _frombuffer),
    )
}


class _Machine:
    """The stack machine; `run` gives what the program leaves on the stack."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.simple: dict[str, Callable[[], None]] = {
            "MARK": lambda: self.stack.append(_MARK),
            "TUPLE": lambda: self.stack.append(tuple(self.since_mark())),
            "LIST": lambda: self.stack.append(self.since_mark()),
            "APPEND": self.append,
            "APPENDS": lambda: self.extend(self.since_mark()),
            "REDUCE": self.reduce,
            "BUILD": self.build,
            "STACK_GLOBAL": self.stack_global,
            "MEMOIZE": lambda: self.memo.update({len(self.memo): self.stack[-1]}),
            "POP": lambda: self.stack.pop(),
        }

    def run(self, program: Iterable[tuple[str, Any]]) -> Any:
        for count, (name, argument) in enumerate(program):
            if name == "STOP":
                return self.stack.pop()
            if count == _MAX_STEPS:
                raise _Refused("a structure of many parts")
            self.step(name, argument)
        raise ValueError("no end")

    def step(self, name: str, argument: Any) -> None:
        if name in self.simple:
            self.simple[name]()
        elif _VALUE.fullmatch(name):
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            count = _TUPLES[name]
            self.stack[-count:] = [tuple(self.stack[-count:])]
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self.memo[argument])
        elif name == "GLOBAL":
            self.stack.append(self.known(*argument.split(" ", 1)))
        elif name not in _SILENT:
            raise _Refused(f"the instruction {name}")

    def known(self, module: str, name: str) -> Any:
        if (module, name) not in _CALLABLE:
            raise _Refused(f"{module}.{name}"[:80])
        return _CALLABLE[module, name]

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(self.known(str(module), str(name)))

    def since_mark(self) -> list[Any]:
        values = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def append(self) -> None:
        value = self.stack.pop()
        self.extend([value])

    def extend(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError("items without a list")
        self.stack[-1].extend(values)

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if function is _NDARRAY or not any(function is known for known in _CALLABLE.values()):
            raise _Refused("a call of something else than an array's parts")
        self.stack.append(function(*arguments))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Dtype):
            target.order = str(state[1])
        elif isinstance(target, _Array):
            _, shape, dtype, column_major, data = state
            target.shape, target.dtype = tuple(shape), dtype
            target.column_major, target.data = bool(column_major), _as_bytes(data)
        else:
            raise _Refused("the state of something else than an array")


def read_arrays(path: Path | str) -> list[np.ndarray]:
    """The array a file holds, or those of the tuple or list it holds, in order.

    Raises
    ------
    BadDataError: missing or damaged file, and whatever is not an array of numbers.
    """
    path = Path(path)
    try:
        program = path.read_bytes()
    except FileNotFoundError:
        raise BadDataError("no such file", file=path, fix="check the path") from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise BadDataError(problem, file=path, fix="check the path and permissions") from None
    try:
        steps = ((code.name, argument) for code, argument, _ in pickletools.genops(program))
        found = _Machine().run(steps)
        arrays = found if isinstance(found, tuple | list) else [found]
        if not arrays or not all(isinstance(array, _Array) for array in arrays):
            raise _Refused("something else than arrays")
        return [array.resolve() for array in arrays]
    except _Refused as refused:
        problem = f"holds {refused}; only arrays of numbers are read"
        raise BadDataError(problem, file=path, fix=_FIX) from None
    except _DAMAGE as error:
        first = (str(error).splitlines() or [""])[0][:80]
        problem = f"damaged or cut off ({first or type(error).__name__})"
        raise BadDataError(problem, file=path, fix=_FIX) from error
