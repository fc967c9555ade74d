"""Draws depend on names, not on order, process or company."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np

from cryospin.names import ImageNames
from cryospin.particles.draws import generator_for, held_out_split, particle_keys

UIDS = tuple(f"{i:06d}@stack.mrcs" for i in range(2000))


def test_a_key_is_its_particles_own() -> None:
    keys = particle_keys(3, UIDS, "some purpose")
    order = np.random.default_rng(1).permutation(len(UIDS))[:700]
    shuffled = particle_keys(3, tuple(UIDS[i] for i in order), "some purpose")
    np.testing.assert_array_equal(shuffled, keys[order])


def test_keys_are_uniform_and_distinct() -> None:
    keys = particle_keys(3, UIDS, "some purpose")
    assert keys.dtype == np.uint64 and len(np.unique(keys)) == len(UIDS)
    counts = np.histogram(keys / 2.0**64, bins=20, range=(0, 1))[0]
    # chi squared of 19 degrees of freedom is below 43.8 in 999 of 1000 cases
    assert ((counts - 100.0) ** 2 / 100).sum() < 43.8


def test_seed_and_purpose_give_others() -> None:
    one = particle_keys(3, UIDS, "some purpose")
    for seed, purpose in ((4, "some purpose"), (3, "another")):
        other = particle_keys(seed, UIDS, purpose)
        assert not np.intersect1d(one, other).size
        # 0.09 is four standard deviations of the correlation of 2000 independent pairs
        assert abs(np.corrcoef(one / 2.0**64, other / 2.0**64)[0, 1]) < 0.09


def test_generators_repeat_and_differ() -> None:
    first = generator_for(0, "iteration", 1, 2).standard_normal(100)
    np.testing.assert_array_equal(generator_for(0, "iteration", 1, 2).standard_normal(100), first)
    for other in ((1, "iteration", 1, 2), (0, "iteration", 2, 1), (0, "start", 1, 2)):
        assert not np.isin(generator_for(*other).standard_normal(100), first).any()


def test_the_same_in_every_process() -> None:
    """Python's own hash of a string is salted anew by each process; these are not."""
    program = (
        "from cryospin.particles.draws import generator_for, particle_keys;"
        "print(*particle_keys(3, ('a', 'b'), 'p'), generator_for(5, 'q', 6).integers(2**60))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    here = [*particle_keys(3, ("a", "b"), "p"), generator_for(5, "q", 6).integers(2**60)]
    assert result.stdout.split() == [str(number) for number in here]


def test_held_out_particles_are_the_same_in_any_order_of_rows() -> None:
    uids = tuple(f"{i}@stack" for i in range(50))
    held_out, others = held_out_split(3, uids, 20)
    assert len(held_out) == 5  # a tenth at most
    assert sorted([*held_out, *others]) == list(range(50))
    again, _ = held_out_split(3, uids[::-1], 20)
    assert [uids[i] for i in held_out] == [uids[::-1][i] for i in again]


def test_draws_are_those_of_every_earlier_version() -> None:
    """Runs are repeated by their seed, so the bits are pinned: written before names were arrays."""
    names = ImageNames.of(
        ("stack.mrcs", "é.mrcs"), np.zeros(2000, dtype=np.int64), np.arange(1, 2001)
    )
    for uids in (tuple(f"{i:06d}@stack.mrcs" for i in range(1, 2001)), names):
        keys = particle_keys(3, uids, "some purpose")
        assert [hex(key) for key in keys[:2]] == ["0x4f2a4672172cab07", "0x787d57187bc5f61b"]
    assert held_out_split(5, UIDS, 4)[0].tolist() == [1436, 1454, 1690, 1181]
    digest = hashlib.sha256(particle_keys(3, UIDS, "some purpose").tobytes()).hexdigest()
    assert digest.startswith("7caf41bdd4a78333")
