"""Relations with a known answer and known faults: what a solver is measured on."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cryospin.pairs.relations import CommonLines, true_common_lines
from cryospin.particles.draws import generator_for
from cryospin.rotations.sampling import random_rotations


def planted_common_lines(
    count: int, wrong: float, jitter_degrees: float, seed: int
) -> tuple[Float[Tensor, "n 3 3"], CommonLines]:
    """Random orientations and their common lines: each direction off by a normal deviate, and of
    a share `wrong` of the pairs both directions drawn at random."""
    rng = generator_for(seed, "planted common lines")
    rotations = random_rotations(count, rng).double()
    lines = true_common_lines(rotations)
    jitter = torch.as_tensor(rng.normal(0.0, np.radians(jitter_degrees), (count, count)))
    drawn = torch.as_tensor(rng.uniform(-np.pi, np.pi, (count, count)))
    angles = torch.where(_pairs(count, wrong, rng), drawn, lines.angles + jitter)
    return rotations, CommonLines(angles, lines.weights)


def _pairs(count: int, share: float, rng: np.random.Generator) -> Bool[Tensor, "n n"]:
    """A random share of all pairs."""
    drawn = torch.as_tensor(rng.random((count, count))).triu(1)
    return (drawn + drawn.T) < share
