"""Classes of a cryoSPARC particle table: `alignments3D/class` and `alignments3D_multi/...`.

The latter has a pose, a shift and a posterior for each class, in arrays (n, c), (n, c, 3) and so
on, as cryoSPARC's heterogeneous refinement and ab-initio reconstruction write them; tables of
version 4.4 and before have `alignments_class_0/...`, a group per class.
"""

from __future__ import annotations

import re

import numpy as np
import torch

from cryospin.errors import BadDataError
from cryospin.io.cryosparc_columns import CryosparcColumns
from cryospin.types import Classes, Unread

MULTI = "alignments3D_multi"
NUMBER = "cryospin/class"
"""A column of ours: as RELION counts, from 1, and 0 for none, which cryoSPARC has no place for."""


def classes_of_rows(columns: CryosparcColumns, unread: Unread) -> Classes | None:
    """None where the table does not tell them of every particle, or of one class only and without
    a posterior."""
    try:
        posterior = _posteriors(columns)
        number = _numbers(columns, posterior)
    except BadDataError as error:
        unread.setdefault("classes", error)
        return None
    if number is None or (posterior is None and (number == number[0]).all() and number[0] < 1):
        return None
    return Classes(
        torch.from_numpy(number),
        None if posterior is None else torch.from_numpy(posterior),
    )


def _posteriors(columns: CryosparcColumns) -> np.ndarray | None:
    """(n, c); None where the table has none. Raises BadDataError for what are none."""
    name = f"{MULTI}/class_posterior"
    if name in columns:
        values = columns.rows[name]
        if values.ndim != 2:
            fix = "write the table again with cryoSPARC"
            raise columns.refuse(f"has the type {columns.rows.dtype[name]}", name, fix)
        posterior = columns.numbers(name, values.shape[1:])
    else:
        pattern = re.compile(r"alignments_class_(\d+)/class_posterior")
        found = [m for m in map(pattern.fullmatch, columns.rows.dtype.names or ()) if m]
        names = [m[0] for m in sorted(found, key=lambda m: int(m[1]))]
        if not names:
            return None
        posterior, name = np.stack([columns.numbers(each) for each in names], axis=1), names[0]
    strange = np.flatnonzero(((posterior < 0) | (posterior > 1 + 1e-3)).any(axis=1))
    if len(strange):
        problem = f"{posterior[strange[0]]} are no probabilities ({len(strange)} such rows)"
        fix = "write the table again with cryoSPARC"
        raise columns.refuse(problem, name, fix, int(strange[0]))
    return posterior.clip(0.0, 1.0)


def _numbers(columns: CryosparcColumns, posterior: np.ndarray | None) -> np.ndarray | None:
    """Counted from 0, (n,) int64, -1 for none. Raises BadDataError for what are none."""
    if NUMBER in columns:
        name, first = NUMBER, 1
    elif posterior is not None:
        return posterior.argmax(axis=1)
    elif "alignments3D/class" in columns:
        name, first = "alignments3D/class", 0
    else:
        return None
    values = columns.numbers(name)
    most = 2**31 if posterior is None else posterior.shape[1] + first - 1
    strange = np.flatnonzero((values < 0) | (values > most) | (values != np.rint(values)))
    if len(strange):
        problem = f"{values[strange[0]]:g} is no class ({len(strange)} such rows)"
        fix = "write the table again with the program that made it"
        raise columns.refuse(problem, name, fix, int(strange[0]))
    return values.astype(np.int64) - first


def class_columns(classes: Classes) -> dict[str, np.ndarray]:
    """The columns of class numbers and posteriors to write.

    A particle of no class is in cryoSPARC's class 0, with a posterior that is low.
    """
    number = classes.number.numpy()
    own = number.clip(0)
    columns = {
        NUMBER: (number + 1).astype("<i4"),
        "alignments3D/class": own.astype("<u4"),
    }
    if classes.posterior is None:
        return columns
    posterior = classes.posterior.numpy().astype("<f4")
    n, count = posterior.shape
    return columns | {
        "alignments3D/class_posterior": posterior[np.arange(n), own],
        f"{MULTI}/class_posterior": posterior,
        f"{MULTI}/class": np.broadcast_to(np.arange(count, dtype="<u4"), (n, count)),
    }


def alignments_per_class(columns: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """`alignments3D`'s pose, shift, pixel size and half-set as those of `count` classes.

    A particle is placed in its own class alone, and so has one pose in all of them.
    """
    found = {}
    for name in ("pose", "shift"):
        if (values := columns.get(f"alignments3D/{name}")) is not None:
            n, width = values.shape
            found[f"{MULTI}/{name}"] = np.broadcast_to(values[:, None], (n, count, width))
    for name in ("psize_A", "split"):
        if (values := columns.get(f"alignments3D/{name}")) is not None:
            found[f"{MULTI}/{name}"] = values
    return found
