"""The first stage of CryoSPIN made fast: heads compete, the winner learns, the map runs along.

Like the paper's in structure (section 4.1, Eqs. 5 and 6), unlike it in four points. The encoder
sees small images (`explore.small_encoder`), each turned in its plane by a random angle every
time. The map is no variable: it is the closed-form solution for the latest few thousand
winners, with forgetting. Its radius marches. And the winner learns by the Gauss-Newton step
of its own pose instead of the gradient, which far from the solution points elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.explore.heads import Winners, winner_takes_all
from cryospin.explore.running_map import RunningMap
from cryospin.explore.setting import Setting
from cryospin.explore.small_encoder import (
    BandLimitedImages,
    SmallEncoder,
    turned_images,
    view_turns,
)
from cryospin.imaging import ambient_gradient, negative_log_likelihood
from cryospin.journal.networks import recall_training, training_state
from cryospin.journal.tree import Tree
from cryospin.kernels import pose_normal_equations
from cryospin.particles.draws import generator_for
from cryospin.particles.source import ParticleSource
from cryospin.poses import PoseHypotheses
from cryospin.rotations.sampling import random_rotations
from cryospin.types import DensityMap
from cryospin.volumes.gridded import SliceSums

_PREDICTED_TOGETHER = 500
_SHIFT_FLOOR = 1e-3  # pixels: below it the particles are centred and there is no shift to learn


@dataclass(frozen=True)
class WinnerSearch:
    """Hyper-parameters of the encoder stage; radii in Fourier pixels.

    march: steps until radius and forgetting rate have reached their last values.
    damping: of the Gauss-Newton step, in shares of each image's and of the mean curvature.
    longest_step: radians (and pixels / 10) a winner is asked to move at once.
    """

    heads: int = 7
    batch: int = 256
    learning_rate: float = 1e-3
    side: int = 24
    width: int = 512
    march: int = 1800
    first_radius: float = 5.0
    last_radius: float = 9.0
    first_forgetting: float = 0.1
    last_forgetting: float = 0.03
    damping: float = 0.3
    longest_step: float = 0.3
    random_images: int = 300

    def schedule(self, step: int) -> tuple[float, float]:
        """Radius and forgetting rate."""
        fraction = min(1.0, step / self.march)
        radius = self.first_radius + fraction * (self.last_radius - self.first_radius)
        ratio = self.last_forgetting / self.first_forgetting
        return radius, self.first_forgetting * ratio**fraction


class EncoderState:
    """One training: encoder, optimiser and running sums; `step` moves it on."""

    def __init__(
        self,
        search: WinnerSearch,
        particles: ParticleSource,
        members: np.ndarray,
        setting: Setting,
    ):
        self.search, self.particles, self.members = search, particles, members
        self.setting, self.seed, self.steps = setting, setting.seed, 0
        self.centred = setting.shift_range_pixel < _SHIFT_FLOOR
        number = int(generator_for(self.seed, "weights").integers(2**62))
        self.encoder = SmallEncoder(
            search.side,
            search.heads,
            setting.shift_range_pixel,
            torch.Generator().manual_seed(number),
            width=search.width,
        ).to(particles.device)
        self.optimiser = torch.optim.Adam(
            self.encoder.parameters(), lr=search.learning_rate, fused=True
        )
        self.input = BandLimitedImages.of(particles, search.side)
        self.map = RunningMap.of(particles, search.last_radius, setting.support_radius)
        self.wins = torch.zeros(search.heads, device=particles.device)
        self._waiting = np.empty(0, dtype=np.int64)
        self._epoch = 0
        self.sums = self._random_sums()

    def _random_sums(self) -> SliceSums:
        rng = generator_for(self.seed, "random start")
        count = min(self.search.random_images, len(self.members))
        rows = self.particles.rows(rng.choice(self.members, count, replace=False))
        rotations = random_rotations(count, rng).to(rows.device)
        shifts = rotations.new_zeros(count, 2)
        start = self._inserted(rows, rotations, shifts, self.search.first_radius)
        return start.blended(start, 1.0, len(self.particles) / count)

    def _inserted(
        self, rows: Int[Tensor, " b"], rotations: Tensor, shifts_pixel: Tensor, radius: float
    ) -> SliceSums:
        images = self.particles.batch(rows, radius)
        margin, operators = self.map.margin, self.setting.operators
        return SliceSums.of_images(images, rotations, shifts_pixel, margin, operators)

    def recorded(self) -> Tree:
        """All that steps change."""
        return {
            "training": training_state([self.encoder], self.optimiser),
            "sums": self.sums,
            "wins": self.wins,
            "waiting": self._waiting,
            "epoch": self._epoch,
            "steps": self.steps,
        }

    def recall(self, recorded: Tree) -> None:
        """Back to where `recorded` was taken, in this process or another."""
        recall_training([self.encoder], self.optimiser, recorded["training"])
        self.sums, self.wins = recorded["sums"], recorded["wins"]
        self._waiting, self._epoch = recorded["waiting"], recorded["epoch"]
        self.steps = recorded["steps"]

    @property
    def radius(self) -> float:
        """Fourier pixels the map reaches by now."""
        return self.search.schedule(self.steps)[0]

    def volume(self) -> Complex[Tensor, "z y x"]:
        return self.map.volume(self.sums, self.radius)

    def density(self) -> DensityMap:
        values = self.map.density(self.sums, self.radius)
        field = self.particles.pixel_size_angstrom * self.particles.disk.box
        return DensityMap(values, field / len(values))

    def step(self) -> None:
        """One batch: heads guess, winners learn, the map takes the winners in."""
        radius, forgetting = self.search.schedule(self.steps)
        rows = self._next_rows()
        angles = generator_for(self.seed, "turns", self.steps).uniform(0, 2 * np.pi, len(rows))
        turns = torch.as_tensor(angles).float().to(rows.device, non_blocking=True)
        rotations, shifts = self._turned_guesses(rows, view_turns(turns))
        volume = self.volume()
        winners = self.scored(volume, rows, rotations.detach(), shifts.detach(), radius)
        chosen = torch.arange(len(rows), device=rows.device), winners.head
        best_rotations, best_shifts = rotations[chosen], shifts[chosen]
        wanted = self._wanted_step(volume, rows, best_rotations, best_shifts, radius)
        self.optimiser.zero_grad()
        _inner_product(wanted, best_rotations, best_shifts).backward()
        self.optimiser.step()
        newer = self._inserted(rows, best_rotations.detach(), best_shifts.detach(), radius)
        self.sums = self.sums.blended(newer, forgetting, len(self.particles) / len(rows))
        # `bincount` would wait for a card
        won = torch.nn.functional.one_hot(winners.head, len(self.wins)).sum(dim=0)
        self.wins = 0.99 * self.wins + won
        self.steps += 1

    def _next_rows(self) -> Int[Tensor, " b"]:
        """The next images in this epoch's order; what is left of an epoch joins the next."""
        while len(self._waiting) < self.search.batch:
            rng = generator_for(self.seed, "epoch", self._epoch)
            self._waiting = np.concatenate([self._waiting, rng.permutation(self.members)])
            self._epoch += 1
        rows, self._waiting = np.split(self._waiting, [self.search.batch])
        return self.particles.rows(rows)

    def _turned_guesses(self, rows: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
        """The heads' poses for images turned in their planes, turned back."""
        rotations, shifts = self.encoder(turned_images(self._seen(rows), turns))
        back = turns.mT[:, None]
        return back @ rotations, (back[..., :2, :2] @ shifts[..., None])[..., 0]

    def _seen(self, rows: Int[Tensor, " b"]) -> Float[Tensor, "b side side"]:
        """What the encoder looks at."""
        return self.input.images(self.particles.batch(rows, self.input.disk.radius))

    def scored(
        self, volume: Tensor, rows: Tensor, rotations: Tensor, shifts: Tensor, radius: float
    ) -> Winners:
        """Which head wins each image, within a radius."""
        likelihood = partial(negative_log_likelihood, volume, self.particles.batch(rows, radius))
        with torch.no_grad():
            return winner_takes_all(likelihood, rotations, shifts)

    def _wanted_step(
        self, volume: Tensor, rows: Tensor, rotations: Tensor, shifts: Tensor, radius: float
    ) -> Float[Tensor, "b 5"]:
        """(H + damping)^-1 g of each winner: minus the step it should make."""
        images = self.particles.batch(rows, radius)
        _, gradient, hessian = pose_normal_equations(
            volume, images, rotations.detach(), shifts.detach()
        )
        free = 3 if self.centred else 5
        hessian, gradient = hessian[:, :free, :free], gradient[:, :free]
        diagonal = hessian.diagonal(dim1=-2, dim2=-1)
        damping = self.search.damping * (diagonal + diagonal.mean(dim=0)) + 1e-6
        # damped it has an inverse; `solve` would wait for a card to say so
        step = torch.linalg.solve_ex(hessian + torch.diag_embed(damping), gradient)[0]
        length = torch.maximum(step[:, :3].norm(dim=1), 0.1 * step[:, 3:].norm(dim=1))
        step = step / (length / self.search.longest_step).clamp_min(1.0)[:, None]
        return torch.nn.functional.pad(step, (0, 5 - free))

    def hypotheses(self, rows: Int[Tensor, " n"]) -> PoseHypotheses:
        """Every head's pose of each of `rows`, from the images as they are."""
        rotations, shifts = [], []
        with torch.no_grad():
            for part in rows.split(_PREDICTED_TOGETHER):
                found = self.encoder(self._seen(part))
                rotations.append(found[0])
                shifts.append(found[1])
        return PoseHypotheses(torch.cat(rotations), torch.cat(shifts))


def _inner_product(wanted: Tensor, rotations: Tensor, shifts: Tensor) -> Tensor:
    """A scalar whose gradient is `wanted`: (omega, tau) per image, the turn from the left.

    1/2 <[omega] R, dR> is omega . w for dR = [w] R, and d . tau for the shift.
    """
    tangent = ambient_gradient(wanted[:, :3], rotations.detach())
    return ((tangent * rotations).sum() + (wanted[:, 3:] * shifts).sum()) / len(wanted)
