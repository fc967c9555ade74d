"""Classical common lines, from images to poses: match, vote, synchronise, centre, once more.

The first round searches all shifts with coarse lines; images are centred by what it found, and
the second looks at more lines, out to a larger radius, about the new centres only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.fourier.disk import moved
from cryospin.pairs.centring import shifts_from_offsets
from cryospin.pairs.lines import MARGIN, filtered, polar_lines
from cryospin.pairs.matching import match_lines
from cryospin.pairs.relations import CommonLines
from cryospin.pairs.synchronise import Synchronisation, Synchronised
from cryospin.pairs.voting import voted_relations
from cryospin.particles.source import ParticleSource

PairProgress = Callable[[str, int, int], None]


def silent(label: str, done: int, total: int) -> None:
    """No progress is told."""


@dataclass(frozen=True)
class PairPoses:
    """Poses up to the frame and hand of all; `consistency` as in `Synchronised`."""

    rotations: Float[Tensor, "n 3 3"]
    shifts_pixel: Float[Tensor, "n 2"]
    consistency: Float[Tensor, " n"]

    def to(self, device: torch.device) -> PairPoses:
        return PairPoses(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class Round:
    """One matching of all pairs. radius: Fourier pixels. shift_share: of the range there is."""

    lines: int
    radius: float
    shift_share: float


@dataclass(frozen=True)
class CommonLineSolver:
    """first_radius: of the lines, in Fourier pixels; what lies within is the same in all views.

    voting: whether thirds decide the weights of pairs, or correlations alone.
    """

    rounds: tuple[Round, ...] = (Round(30, 10.0, 1.0), Round(36, 14.0, 0.3))
    first_radius: float = 2.0
    voting: bool = True
    synchronisation: Synchronisation = Synchronisation()

    def run(
        self,
        particles: ParticleSource,
        power: Float[Tensor, " s"],
        shift_range_pixel: float,
        progress: PairProgress = silent,
    ) -> PairPoses:
        """power: of the signal per shell, as `signal_power` has it."""
        shifts = torch.zeros(len(particles), 2, dtype=torch.float64)
        centred = shift_range_pixel <= 0.0
        # centred images need no first round
        rounds = self.rounds[-1:] if centred else self.rounds
        for number, settings in enumerate(rounds, 1):
            label = f"lines, round {number} of {len(rounds)}"
            share = settings.shift_share * shift_range_pixel
            tell = partial(progress, label)
            lines = self.matched(particles, power, shifts, settings, share, tell)
            found = self.synchronised(lines)
            if not centred:
                moves = shifts_from_offsets(lines, found.weights)
                shifts = (shifts + moves).clamp(-2 * shift_range_pixel, 2 * shift_range_pixel)
        return PairPoses(found.rotations.float(), shifts.float(), found.consistency.float())

    def matched(
        self,
        particles: ParticleSource,
        power: Float[Tensor, " s"],
        shifts_pixel: Float[Tensor, "n 2"],
        settings: Round,
        shift_range_pixel: float,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> CommonLines:
        disk = particles.disk.prefix(settings.radius + MARGIN)
        values = moved(filtered(particles, power, disk), -shifts_pixel.float(), disk)
        lines = polar_lines(values, disk, settings.lines, self.first_radius, settings.radius)
        return match_lines(lines, shift_range_pixel, progress)

    def synchronised(self, lines: CommonLines) -> Synchronised:
        if not self.voting:
            return self.synchronisation.of_common_lines(lines)
        relations = voted_relations(lines)
        return self.synchronisation.of_relations(relations)
