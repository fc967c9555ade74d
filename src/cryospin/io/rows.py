"""Rows of one table found in another by a key: what every join of two tables rests on."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int, Shaped


def doubled(keys: Shaped[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Where a key stands in more than one row."""
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return counts[inverse.reshape(-1)] > 1


def rows_of_keys(
    wanted: Shaped[np.ndarray, " n"], known: Shaped[np.ndarray, " m"]
) -> Int[np.ndarray, " n"]:
    """The first row of each wanted key in `known`, -1 where it has none."""
    if not len(known):
        return np.full(len(wanted), -1)
    order = np.argsort(known, kind="stable")
    place = np.searchsorted(known, wanted, sorter=order).clip(max=len(known) - 1)
    rows = order[place]
    return np.where(known[rows] == wanted, rows, -1)


def distinct_keys(
    keys: Shaped[np.ndarray, " n"],
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " n"]]:
    """The first row of each distinct key, sorted by key, and which of these keys every row has."""
    # neighbours are often alike (images of one stack): it is their runs that are sorted
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    _, first, which = np.unique(keys[starts], return_index=True, return_inverse=True)
    lengths = np.diff(np.append(starts, len(keys)))
    return starts[first], np.repeat(which.reshape(-1), lengths)


def in_order_of_appearance(
    keys: Shaped[np.ndarray, " n"],
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " n"]]:
    """The first row of each distinct key, ascending, and which of these keys every row has."""
    first, which = distinct_keys(keys)
    order = np.argsort(first)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return first[order], place[which]


def rows_in_words(rows: Int[np.ndarray, " n"], most: int = 3) -> str:
    """Rows (0-based) as a reader counts them: `row 7`, `rows 3, 7`, `rows 3, 7, 9, ...`."""
    first = ", ".join(str(row + 1) for row in rows[:most].tolist())
    if len(rows) == 1:
        return f"row {first}"
    return f"rows {first}" + ", ..." * (len(rows) > most)


def distinct_rows(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of an array (n, c), the first row of each kind, sorted by their values, and the kind of each
    row (n,). A million rows are sorted by what differs alone."""
    varying = (table != table[0]).any(axis=0)
    varying[0] = True
    _, first, members = np.unique(table[:, varying], axis=0, return_index=True, return_inverse=True)
    return first, members.reshape(-1)
