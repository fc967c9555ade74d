"""The split into two half-sets that never see each other."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cryospin.particles.draws import particle_keys
from cryospin.particles.picks import close_pairs, tube_pairs
from cryospin.types import ParticleStack


def split_half_sets(
    stack: ParticleStack, seed: int, neighbour_distance_angstrom: float
) -> np.ndarray:
    """1 or 2 for each particle, (n,) int64.

    Particles of one micrograph picked closer than `neighbour_distance_angstrom` are taken for
    the same molecule picked twice and stay together: two copies of the same noise in both
    halves would correlate. So would the segments of one helical tube, which overlap. Groups are
    dealt out in the order of their keys, each to the half that is smaller, so halves differ in
    size by at most the largest group.
    """
    groups = _neighbour_groups(stack, neighbour_distance_angstrom)
    keys = particle_keys(seed, stack.uids, "half-set")
    key_of_group = np.full(groups.max() + 1, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(key_of_group, groups, keys)
    sizes = np.bincount(groups)
    order = np.argsort(key_of_group, kind="stable")
    half_of_group = np.empty(len(sizes), dtype=np.int64)
    half_of_group[order] = _dealt(sizes[order], key_of_group[order] & np.uint64(1)) + 1
    return half_of_group[groups]


def _dealt(sizes: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """0 or 1 for each group, one after another: to the smaller half, of equal ones to `bits`."""
    halves, ahead = [], 0  # how much larger half 0 is
    # of Python's numbers: numpy's, one by one, would take seconds for 10^6
    for size, bit in zip(sizes.tolist(), bits.tolist(), strict=True):
        half = bit if ahead == 0 else int(ahead > 0)
        halves.append(half)
        ahead += -size if half else size
    return np.array(halves)


def _neighbour_groups(stack: ParticleStack, distance_angstrom: float) -> np.ndarray:
    """Connected components of particles picked side by side."""
    count = len(stack)
    close = close_pairs(stack, distance_angstrom)
    pairs = tube_pairs(stack)
    if close is not None:
        pairs = np.concatenate([pairs, close])
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]
