"""The tokens of one column of a table as an array: a million of them are read, chosen, compared
and written at once, and stay what they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from jaxtyping import Float, Int, Shaped

from cryospin.io.rows import distinct_keys

_COMPILED_FROM = 50_000  # rows


@dataclass(frozen=True, eq=False)
class Tokens(Sequence[str]):
    """A sequence of texts, held as UTF-8 in `array` (n,), as many bytes each as the longest has.

    Whole columns are for array functions; one text after another costs as much as of a list.
    """

    array: np.ndarray

    @classmethod
    def of(cls, texts: Iterable[str]) -> Tokens:
        """Those of a sequence; none may hold a zero byte."""
        if isinstance(texts, Tokens):
            return texts
        return cls(np.array([text.encode() for text in texts], dtype=np.bytes_))

    @classmethod
    def repeated(cls, text: str, count: int) -> Tokens:
        return cls(np.full(count, np.array(text.encode())))

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice | Int[np.ndarray, " b"]) -> Tokens: ...

    def __getitem__(self, row: Any) -> str | Tokens:
        found = self.array[row]
        return Tokens(found) if isinstance(found, np.ndarray) else found.decode()

    def __iter__(self) -> Iterator[str]:
        return map(bytes.decode, self.array.tolist())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Tokens):
            return np.array_equal(self.array, other.array)
        return [*self] == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Tokens.of({[*self]})" if len(self) < 10 else f"<{len(self)} tokens>"

    def distinct(self) -> tuple[Tokens, Int[np.ndarray, " n"]]:
        """Each text once, sorted, and which of them every row has."""
        first, which = distinct_keys(self.array)
        return Tokens(self.array[first]), which

    def strings(self) -> Shaped[np.ndarray, " n"]:
        """An array of numpy's strings."""
        texts, which = self.distinct()
        return np.array([*texts], dtype=np.str_)[which]

    def are(self, *texts: str) -> np.ndarray:
        """Where a token is one of the texts, (n,) bool."""
        return np.isin(self.array, [text.encode() for text in texts])

    def unquoted(self) -> Tokens:
        """The texts that the tokens stand for."""
        first = self.array.astype("S1")
        marked = np.flatnonzero((first == b"'") | (first == b'"'))
        if not len(marked):
            return self
        array = self.array.copy()
        array[marked] = [unquoted(token).encode() for token in self[marked]]
        return Tokens(array)

    def numbers(self) -> Float[np.ndarray, " n"]:
        """float64; NaN for what is no finite number."""
        if len(self) and (self.array == self.array[0]).all():
            return np.full(len(self), number(self[0]))
        if len(self) < _COMPILED_FROM:
            return _as_python_reads(self)
        # numba takes longer to import than a small table to read
        from cryospin.io.decimals import parsed

        values, plain = parsed(self.array)
        others = np.flatnonzero(~plain)
        values[others] = _as_python_reads(self[others])
        return values


def _as_python_reads(tokens: Tokens) -> Float[np.ndarray, " n"]:
    try:
        values = tokens.array.astype(np.float64)
    except ValueError:
        texts, which = tokens.distinct()
        return np.array([number(text) for text in texts])[which]
    values[~np.isfinite(values)] = np.nan
    return values


def unquoted(token: str) -> str:
    """The text a token stands for."""
    if len(token) >= 2 and token[0] == token[-1] and token[0] in "'\"":
        return token[1:-1]
    return token


def number(token: str) -> float:
    """NaN for what is no finite number."""
    try:
        value = float(unquoted(token))
    except ValueError:
        return float("nan")
    return value if np.isfinite(value) else float("nan")
