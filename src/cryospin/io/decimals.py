"""Decimal numbers as tables write them, `-12345.678901`, parsed in a compiled loop.

As Python's `float`, to the last bit: up to 15 digits are a whole number that a double holds
exactly, the power of ten it is divided by is exact too, and so the one division rounds as the
standard asks. Everything else is left to `float`.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from jaxtyping import Bool, Float, Shaped

_MOST_DIGITS = 15
_POWERS = 10.0 ** np.arange(_MOST_DIGITS + 1)

_jit: Any = numba.njit(cache=True, nogil=True)


def parsed(
    texts: Shaped[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """The numbers of bytes of one width (numpy's S), and where a text is such a number at all."""
    values, plain = np.zeros(len(texts)), np.zeros(len(texts), dtype=bool)
    characters = np.ascontiguousarray(texts).view(np.uint8).reshape(len(texts), -1)
    _parse(characters, _POWERS, values, plain)
    return values, plain


@_jit
def _parse(
    characters: np.ndarray, powers: np.ndarray, values: np.ndarray, plain: np.ndarray
) -> None:
    for row in range(len(characters)):
        whole, digits, decimals = np.int64(0), 0, 0
        point, fits = False, True
        for x in range(characters.shape[1]):
            character = characters[row, x]
            if 48 <= character <= 57:
                whole = 10 * whole + (character - 48)
                digits += 1
                decimals += point
            elif character == 46 and not point:
                point = True
            elif character == 0:
                break
            elif x > 0 or character not in (43, 45):
                fits = False
            if digits > _MOST_DIGITS:
                fits = False
            if not fits:
                break
        if fits and digits:
            value = whole / powers[decimals]
            values[row] = -value if characters[row, 0] == 45 else value
            plain[row] = True
