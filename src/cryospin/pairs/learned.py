"""From images to poses by the trained network: relations of all pairs, then as common lines.

Images with unknown shifts are centred by common lines first: the network has learned from
images that are centred to half a pixel.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.pairs.common_lines import CommonLineSolver, PairPoses, PairProgress, silent
from cryospin.pairs.network import PairFeatures, PairNetwork, network_input
from cryospin.pairs.relations import CommonLines, Relations, blocks_of_tilts
from cryospin.pairs.synchronise import Synchronisation
from cryospin.pairs.voting import voted_relations
from cryospin.pairs.weights import load_network
from cryospin.parallel import in_blocks
from cryospin.particles.source import ParticleSource

WEIGHTS_VARIABLE = "CRYOSPIN_PAIR_WEIGHTS"
_SHIPPED = "pair_network.safetensors"
_BATCH = 100
_FAR = 14.0  # nats below the peak that no longer count


@dataclass(frozen=True)
class LearnedSolver:
    """weights: a file of `cryospin pairs train`; None: see `weights_file`.

    voting: whether third images have a say in the tilts and weights of pairs.
    centring: finds the shifts of images that are not centred.
    """

    weights: Path | None = None
    voting: bool = True
    synchronisation: Synchronisation = Synchronisation()
    centring: CommonLineSolver = CommonLineSolver()

    def run(
        self,
        particles: ParticleSource,
        power: Float[Tensor, " s"],
        shift_range_pixel: float,
        progress: PairProgress = silent,
    ) -> PairPoses:
        """power: of the signal per shell, as `signal_power` has it."""
        network = load_network(self.weights or weights_file())
        shifts = torch.zeros(len(particles), 2)
        if shift_range_pixel > 0.0:
            shifts = self.centring.run(particles, power, shift_range_pixel, progress).shifts_pixel
        lines, relations = learned_relations(network, particles, power, shifts, progress)
        if self.voting:
            voted = voted_relations(lines)
            relations = Relations(voted.blocks, voted.weights * lines.weights)
        found = self.synchronisation.of_relations(relations)
        return PairPoses(found.rotations.float(), shifts, found.consistency.float())


def weights_file() -> Path:
    """What CRYOSPIN_PAIR_WEIGHTS names, or what comes with the program."""
    named = os.environ.get(WEIGHTS_VARIABLE)
    return Path(named or str(files("cryospin.pairs") / _SHIPPED))


def learned_relations(
    network: PairNetwork,
    particles: ParticleSource,
    power: Float[Tensor, " s"],
    shifts_pixel: Float[Tensor, "n 2"],
    progress: PairProgress = silent,
) -> tuple[CommonLines, Relations]:
    """The most likely line and tilt of each pair; weights are the probability around them."""
    shape, count = network.shape, len(particles)
    lines, clarity = network_input(particles, power, shape, shifts_pixel)
    parts = []
    with torch.no_grad():
        for first in range(0, count, _BATCH):
            rows = slice(first, first + _BATCH)
            parts.append(network(lines.values[rows], clarity[rows]))
    features = PairFeatures(*(torch.cat([getattr(p, n) for p in parts]) for n in ("left", "right")))
    right = features.right.transpose(0, 1).contiguous()  # t n b c
    bias = network.bias.detach()
    found = np.zeros((count, count, 4), dtype=np.float32)

    def on(rows: slice) -> None:
        i = rows.start
        # (t, a, pairs * b)
        logits = features.left[i] @ right[:, i + 1 :].flatten(1, 2).mT + bias[:, None, None]
        _peaks(logits.numpy(), found[i, i + 1 :])

    tell = partial(progress, "learned relations")
    for i, _ in enumerate(in_blocks(on, count - 1, 1)):
        tell(i + 1, count - 1)
    table = torch.from_numpy(found).double()
    angles = (np.pi / shape.lines) * (table[..., 0] + table[..., 1].T)
    weights, tilt = table[..., 3] + table[..., 3].T, table[..., 2] + table[..., 2].T
    cosine = (2.0 * tilt + 1.0) / shape.tilts - 1.0
    return CommonLines(angles, weights), Relations(blocks_of_tilts(angles, cosine), weights)


@numba.njit(cache=True, nogil=True)
def _peaks(logits: np.ndarray, found: np.ndarray) -> None:
    """Centre (a, b, t) of the probability around each pair's peak, and how much it is.

    logits: (tilts, angles, pairs * 2 angles); found: (pairs, 4).
    """
    tilts, angles, _ = logits.shape
    rays = 2 * angles
    for j in range(len(found)):
        first = j * rays
        best, at_t, at_a, at_b = np.float32(-1e30), 0, 0, 0
        for t in range(tilts):
            for a in range(angles):
                for b in range(rays):
                    if logits[t, a, first + b] > best:
                        best, at_t, at_a, at_b = logits[t, a, first + b], t, a, b
        total = 0.0
        for t in range(tilts):
            for a in range(angles):
                for b in range(rays):
                    below = logits[t, a, first + b] - best
                    if below > -_FAR:
                        total += np.exp(below)
        near, sum_a, sum_b, sum_t = 0.0, 0.0, 0.0, 0.0
        for t in range(max(0, at_t - 1), min(tilts, at_t + 2)):
            for da in range(-2, 3):
                for db in range(-2, 3):
                    a, b = at_a + da, at_b + db
                    # past half a turn the line's other ray stands for it
                    if a < 0 or a >= angles:
                        b += angles
                    share = np.exp(logits[t, a % angles, first + b % rays] - best)
                    near += share
                    sum_a += share * da
                    sum_b += share * db
                    sum_t += share * t
        found[j, 0] = at_a + sum_a / near
        found[j, 1] = at_b + sum_b / near
        found[j, 2] = sum_t / near
        found[j, 3] = near / total
