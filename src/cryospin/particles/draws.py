"""Random draws tied to particles by name, so that no result depends on row order, batch size
or thread count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def particle_keys(seed: int, uids: Sequence[str], purpose: str) -> np.ndarray:
    """A uniform 64-bit number per particle, a function of (seed, purpose, uid) alone."""
    prefix = f"{seed}/{purpose}/".encode()
    blake2b = hashlib.blake2b
    digests = b"".join([blake2b(prefix + uid.encode(), digest_size=8).digest() for uid in uids])
    return np.frombuffer(digests, dtype="<u8")


def held_out_split(seed: int, uids: Sequence[str], most: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of at most `most` particles (a tenth at most) to judge by, and of all others.

    In an order of their own, the same for whoever asks with this seed.
    """
    order = np.argsort(particle_keys(seed, uids, "held-out"), kind="stable")
    held_out, others = np.split(order, [min(most, len(uids) // 10)])
    return held_out, others


def generator_for(seed: int, *purpose: object) -> np.random.Generator:
    """A generator that depends on (seed, purpose) alone."""
    digest = hashlib.blake2b("/".join(map(str, (seed, *purpose))).encode(), digest_size=16)
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest.digest(), "little")))
