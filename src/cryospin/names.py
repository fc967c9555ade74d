"""Names of images, `000042@stack.mrcs`, as numbers and stacks: a million take few bytes each.

What a table calls its images is told in io; what a name means, in types.ParticleStack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from jaxtyping import Int

_PIECE = 1 << 12  # names that are made at once


@dataclass(frozen=True, eq=False)
class ImageNames(Sequence[str]):
    """A sequence of names, each made when it is asked for.

    Parameters
    ----------
    stacks : tuple of str
        Those in use, each once.
    stack : array
        (n,): name i is of an image of `stacks[stack[i]]`.
    number : array
        (n,), of the image in its stack, counted from 1; 0: the name is the stack's alone.
    """

    stacks: tuple[str, ...]
    stack: Int[np.ndarray, " n"]
    number: Int[np.ndarray, " n"]

    @classmethod
    def of(
        cls, stacks: Sequence[str], stack: Int[np.ndarray, " n"], number: Int[np.ndarray, " n"]
    ) -> ImageNames:
        """Of stacks that may be unused, or the same under two numbers."""
        used, which = np.unique(stack, return_inverse=True)
        places: dict[str, int] = {}
        codes = [places.setdefault(stacks[i], len(places)) for i in used.tolist()]
        return cls(tuple(places), np.array(codes, dtype=np.int64)[which.reshape(-1)], number)

    def __len__(self) -> int:
        return len(self.number)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice | np.ndarray) -> ImageNames: ...

    def __getitem__(self, index: Any) -> str | ImageNames:
        number, stack = self.number[index], self.stack[index]
        if isinstance(number, np.ndarray):
            return ImageNames.of(self.stacks, stack, number)
        return image_name(int(number), self.stacks[stack])

    def __iter__(self) -> Iterator[str]:
        stacks = self.stacks
        for start in range(0, len(self), _PIECE):
            piece = slice(start, start + _PIECE)
            places = zip(self.number[piece].tolist(), self.stack[piece].tolist(), strict=True)
            # `image_name`, written out: a call for each would take as long as the rest
            yield from [f"{i:06d}@{stacks[k]}" if i else stacks[k] for i, k in places]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ImageNames | tuple):
            return len(self) == len(other) and all(map(str.__eq__, self, other))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]


def image_name(number: int, stack: str) -> str:
    """Of an image of a stack; of a stack alone, where the number is 0."""
    return f"{number:06d}@{stack}" if number else stack


def chosen(names: Sequence[str], index: Int[np.ndarray, " b"]) -> Sequence[str]:
    """Some of the names, in the order of `index`."""
    if isinstance(names, ImageNames):
        return names[index]
    return tuple(names[i] for i in index)
