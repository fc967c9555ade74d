"""Classes of a RELION table: rlnClassNumber, and columns of ours for the posteriors.

RELION has a place for the number alone. It keeps columns it does not know.
"""

from __future__ import annotations

import re

import numpy as np
import torch

from cryospin.errors import BadDataError
from cryospin.io.relion_columns import RelionColumns
from cryospin.types import Classes, Unread

NUMBER = "rlnClassNumber"
_POSTERIOR = "cryospinClassPosterior"


def is_posterior(name: str) -> bool:
    """Whether a column is the posterior of some class, as we name it."""
    return re.fullmatch(_POSTERIOR + r"[1-9]\d*", name) is not None


def classes_of_rows(columns: RelionColumns, unread: Unread) -> Classes | None:
    """None where the table does not tell them of every particle, or of one class only and without
    a posterior."""
    number = columns.known_numbers(NUMBER, "classes", unread)
    if number is None:
        return None
    names = sorted(filter(is_posterior, columns.names), key=lambda name: (len(name), name))
    found = [columns.known_numbers(name, "classes", unread) for name in names]
    posterior = np.stack([each for each in found if each is not None], axis=1) if names else None
    error = _refusal(columns, number, posterior, names)
    if error is not None:
        unread.setdefault("classes", error)
    if "classes" in unread or (posterior is None and (number == number[0]).all() and number[0] < 2):
        return None
    return Classes(
        torch.from_numpy(number.astype(np.int64) - 1),
        None if posterior is None else torch.from_numpy(posterior),
    )


def _refusal(
    columns: RelionColumns, number: np.ndarray, posterior: np.ndarray | None, names: list[str]
) -> BadDataError | None:
    """Of values that are numbers and make no sense, what is to be said of the first."""

    def refuse(rows: np.ndarray, column: str, problem: str, fix: str) -> BadDataError:
        place = int(rows[0]) + 1
        return BadDataError(problem, file=columns.path, row=place, column=column, fix=fix)

    strange = np.flatnonzero((number < 0) | (number > 2**31) | (number != np.rint(number)))
    if len(strange):
        problem = f"{number[strange[0]]:g} is no class ({len(strange)} such rows)"
        return refuse(strange, NUMBER, problem, "classes count from 1; 0 is none")
    if posterior is None:
        return None
    for name, values in zip(names, posterior.T, strict=True):
        strange = np.flatnonzero((values < 0) | (values > 1))
        if len(strange):
            problem = f"{values[strange[0]]:g} is no probability ({len(strange)} such rows)"
            return refuse(strange, name, problem, "a probability is between 0 and 1")
    strange = np.flatnonzero(number > len(names))
    if names != class_posterior_names(len(names)) or len(strange):
        problem = f"class {number.max():g}, and posteriors of {len(names)} ({', '.join(names)})"
        rows = strange if len(strange) else np.zeros(1)
        return refuse(rows, NUMBER, problem, "remove the columns of posteriors")
    return None


def class_posterior_names(count: int) -> list[str]:
    """Of the columns of `count` classes."""
    return [f"{_POSTERIOR}{number}" for number in range(1, count + 1)]


def class_columns(classes: Classes) -> dict[str, list[str]]:
    """The columns to write."""
    columns = {NUMBER: [str(number + 1) for number in classes.number.tolist()]}
    if classes.posterior is not None:
        names = class_posterior_names(classes.count)
        for name, values in zip(names, classes.posterior.T.tolist(), strict=True):
            columns[name] = [f"{value:.6f}" for value in values]
    return columns
