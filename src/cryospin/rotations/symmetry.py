"""Point groups as rotation matrices, in RELION's axes.

C and D have their principal axis on z, D a 2-fold on x. T has a 3-fold on z. O has its
4-folds on x, y and z. I is I2 (Crowther): 2-folds on x, y and z, 5-folds in the xz plane at
(1, 0, golden ratio); I1 is I2 turned by 90 degrees about z; I3 and I4 have a 5-fold on z.
Held against `relion_refine --print_symmetry_ops` in the tests.
"""

from __future__ import annotations

import re
from math import sqrt

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.errors import UsageError

_GOLDEN = (1.0 + sqrt(5.0)) / 2.0
_LARGEST_ORDER = 100

# (order of the rotation, its axis)
_PLATONIC: dict[str, tuple[tuple[int, tuple[float, float, float]], ...]] = {
    "T": ((3, (0.0, 0.0, 1.0)), (2, (0.0, sqrt(2.0), 1.0))),
    "O": ((4, (0.0, 0.0, 1.0)), (3, (1.0, 1.0, 1.0))),
    "I1": ((3, (1.0, 1.0, 1.0)), (5, (_GOLDEN, 0.0, 1.0))),
    "I2": ((3, (1.0, 1.0, 1.0)), (5, (1.0, 0.0, _GOLDEN))),
    "I3": ((5, (0.0, 0.0, 1.0)), (2, (-1.0, 0.0, _GOLDEN))),
    "I4": ((5, (0.0, 0.0, 1.0)), (2, (1.0, 0.0, _GOLDEN))),
}


def symmetry_group(name: str) -> Float[Tensor, "g 3 3"]:
    """The rotations of a point group, identity first, float64.

    `name`: Cn, Dn, T, O, I (= I2), I1, I2, I3 or I4, in either case. A map of this symmetry
    satisfies V(S x) = V(x), so that R and R S see the same projection.

    Raises UsageError for any other name.
    """
    upper = name.strip().upper()
    upper = "I2" if upper == "I" else upper
    if upper in _PLATONIC:
        return _closure(_PLATONIC[upper])
    match = re.fullmatch(r"([CD])(\d+)", upper)
    if match is None or not 1 <= int(match[2]) <= _LARGEST_ORDER:
        raise UsageError(
            f"unknown symmetry {name!r}\n  fix: use Cn or Dn (n from 1 to {_LARGEST_ORDER}), T, O, "
            "I, I1, I2, I3 or I4"
        )
    generators = [(int(match[2]), (0.0, 0.0, 1.0))]
    if match[1] == "D":
        generators.append((2, (1.0, 0.0, 0.0)))
    return _closure(tuple(generators))


def _closure(
    generators: tuple[tuple[int, tuple[float, float, float]], ...],
) -> Float[Tensor, "g 3 3"]:
    """All products of the generators, in the order in which they are first met."""
    steps = [_axis_rotation(np.array(axis, dtype=float), order) for order, axis in generators]
    group = [np.eye(3)]
    known = {_key(group[0])}
    for element in group:  # grows while we walk it
        for step in steps:
            product = step @ element
            if _key(product) not in known:
                known.add(_key(product))
                group.append(product)
    return torch.as_tensor(np.stack(group))


def _key(rotation: np.ndarray) -> tuple[float, ...]:
    # elements of the finite groups differ by far more than 1e-3; + 0.0 makes -0.0 equal 0.0
    return tuple((np.round(rotation.ravel(), 3) + 0.0).tolist())


def _axis_rotation(axis: np.ndarray, order: int) -> np.ndarray:
    """Rotation by 2 pi / order about an axis (Rodrigues)."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = 2 * np.pi / order
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
