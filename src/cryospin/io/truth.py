"""What a simulated data set knows besides poses: names of columns and maps, for those who write
them and those who read them.

`rlnClassNumber` has the class, 0 for junk; a table of several structures, or of one with junk, has
it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from cryospin.errors import BadDataError
from cryospin.io.relion import RelionTable
from cryospin.types import ParticleStack

TRUE_MAP = "truth.mrc"
"""Of the only structure."""

CONFORMATION, HINGE_ANGLE, JUNK = "cryospinConformation", "cryospinHingeAngle", "cryospinJunk"
"""Number of the conformation within its class, from 1 (0: junk); its angle in degrees; what kind
of junk an image shows, or `none`."""


def class_map_name(number: int) -> str:
    """The true map of a class, counted from 1."""
    return f"truth_class_{number:02d}.mrc"


def conformation_map_name(number: int) -> str:
    """The true map of a conformation, counted from 1."""
    return f"truth_conformation_{number:03d}.mrc"


def conformations_of(stack: ParticleStack) -> Int[np.ndarray, " n"] | None:
    """From 1, 0 for junk; None where the table has none.

    Raises BadDataError for what is no such number.
    """
    if not isinstance(stack.table, RelionTable):
        return None
    particles = stack.table.particles
    if CONFORMATION not in particles.table:
        return None
    tokens = particles.column(CONFORMATION)[stack.rows]
    texts, which = tokens.distinct()
    broken = np.flatnonzero(np.array([not text.isdecimal() for text in texts])[which])
    if len(broken):
        raise BadDataError(
            f"{tokens[int(broken[0])]!r} is no conformation",
            file=stack.source,
            row=int(stack.rows[broken[0]]) + 1,
            column=CONFORMATION,
            fix="conformations count from 1; 0 is junk",
        )
    return np.array([int(text) for text in texts])[which]
