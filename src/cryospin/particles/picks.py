"""Which particles were picked side by side: close on one micrograph, or along one tube."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from cryospin.io.rows import distinct_keys
from cryospin.types import ParticleStack


def close_pairs(stack: ParticleStack, distance_angstrom: float) -> np.ndarray | None:
    """Pairs (p, 2) of particles of one micrograph that lie closer than the distance.

    None: the table does not tell where they lie. A particle whose place is unknown is in no
    pair.
    """
    if stack.coordinates_angstrom is None or stack.micrographs is None:
        return None
    known = np.flatnonzero(np.isfinite(stack.coordinates_angstrom).all(axis=1))
    if not len(known):
        return None
    _, micrograph = distinct_keys(stack.micrographs[known])
    # micrographs are laid far apart along a third axis, so one tree serves them all
    apart = micrograph * 10.0 * distance_angstrom
    separated = np.column_stack([stack.coordinates_angstrom[known], apart])
    return known[cKDTree(separated).query_pairs(distance_angstrom, output_type="ndarray")]


def tube_pairs(stack: ParticleStack) -> np.ndarray:
    """Pairs (p, 2) that link the segments of each helical tube in a chain."""
    if stack.tubes is None:
        return np.zeros((0, 2), dtype=np.int64)
    order = np.argsort(stack.tubes, kind="stable")
    order = order[stack.tubes[order] >= 0]
    links = np.stack([order[:-1], order[1:]], axis=1)
    return links[stack.tubes[links[:, 0]] == stack.tubes[links[:, 1]]]
