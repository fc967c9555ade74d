"""The first stage of CryoSPIN made fast: heads compete, the winner learns, the map runs along.

Like the paper's in structure (section 4.1, Eqs. 5 and 6), unlike it in four points. The encoder
sees small images (`explore.small_encoder`), each turned in its plane by a random angle every
time. The map is no variable: it is the closed-form solution for the latest few thousand
winners, with forgetting. Its radius marches. And the winner learns by the Gauss-Newton step
of its own pose instead of the gradient, which far from the solution points elsewhere.

There may be several maps, one of each class: then heads compete in all of them, and the best pair
of a head and a map wins the image (the paper's outlook).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.explore.heads import candidate_losses
from cryospin.explore.running_map import RunningMap
from cryospin.explore.setting import Setting
from cryospin.explore.small_encoder import BandLimitedImages, SmallEncoder
from cryospin.explore.winner_step import damped_step, inner_product
from cryospin.fourier.image_batch import ImageBatch
from cryospin.imaging import negative_log_likelihood
from cryospin.journal.networks import recall_training, training_state
from cryospin.journal.tree import Tree
from cryospin.kernels import pose_normal_equations
from cryospin.particles.draws import generator_for
from cryospin.particles.source import ParticleSource
from cryospin.poses import PoseHypotheses
from cryospin.rotations.in_plane import turned_images, view_turns
from cryospin.rotations.sampling import random_rotations
from cryospin.types import DensityMap
from cryospin.volumes.gridded import SliceSums

Volumes = tuple[Complex[Tensor, "z y x"], ...]
"""Of each class."""

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


@dataclass(frozen=True)
class Winners:
    """The best candidate of each image: of which head, in the map of which class."""

    loss: Float[Tensor, " b"]
    head: Int[Tensor, " b"]
    number: Int[Tensor, " b"]


class EncoderState:
    """One training: encoder, optimiser and running sums of each class; `step` moves it on.

    While the radius marches, `handicap` (nats, per class) makes each class win as many images, or
    the first map to show something would take all of them; then classes are free.
    """

    def __init__(
        self,
        search: WinnerSearch,
        particles: ParticleSource,
        members: np.ndarray,
        setting: Setting,
        classes: int = 1,
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
        self.wins = torch.zeros(search.heads, classes, device=particles.device)
        self.handicap = torch.zeros(classes, device=particles.device)
        self._waiting = np.empty(0, dtype=np.int64)
        self._epoch = 0
        self.sums = self._random_sums()

    @property
    def classes(self) -> int:
        return len(self.handicap)

    def _random_sums(self) -> tuple[SliceSums, ...]:
        rng = generator_for(self.seed, "random start")
        return tuple(self._random_sums_of_one(rng) for _ in range(self.classes))

    def _random_sums_of_one(self, rng: np.random.Generator) -> SliceSums:
        count = min(self.search.random_images, len(self.members))
        rows = self.particles.rows(rng.choice(self.members, count, replace=False))
        rotations = random_rotations(count, rng).to(rows.device)
        shifts = rotations.new_zeros(count, 2)
        images = self.particles.batch(rows, self.search.first_radius)
        start = self._inserted(images, rotations, shifts)
        return start.blended(start, 1.0, len(self.particles) / (count * self.classes))

    def _inserted(self, images: ImageBatch, rotations: Tensor, shifts_pixel: Tensor) -> SliceSums:
        margin, operators = self.map.margin, self.setting.operators
        return SliceSums.of_images(images, rotations, shifts_pixel, margin, operators)

    def _taken_in(
        self, sums: SliceSums, images: ImageBatch, rotations: Tensor, shifts_pixel: Tensor, of: int
    ) -> SliceSums:
        """Sums after some of a batch `of` so many images."""
        _, forgetting = self.search.schedule(self.steps)
        if len(images) == 0:
            return sums.scaled(1.0 - forgetting)
        newer = self._inserted(images, rotations, shifts_pixel)
        return sums.blended(newer, forgetting, len(self.particles) / of)

    def recorded(self) -> Tree:
        """All that steps change."""
        return {
            "training": training_state([self.encoder], self.optimiser),
            "sums": self.sums,
            "wins": self.wins,
            "handicap": self.handicap,
            "waiting": self._waiting,
            "epoch": self._epoch,
            "steps": self.steps,
        }

    def recall(self, recorded: Tree) -> None:
        """Back to where `recorded` was taken, in this process or another."""
        recall_training([self.encoder], self.optimiser, recorded["training"])
        self.sums, self.wins = recorded["sums"], recorded["wins"]
        self.handicap = recorded["handicap"]
        self._waiting, self._epoch = recorded["waiting"], recorded["epoch"]
        self.steps = recorded["steps"]

    @property
    def radius(self) -> float:
        """Fourier pixels the map reaches by now."""
        return self.search.schedule(self.steps)[0]

    def volumes(self) -> Volumes:
        return tuple(self.map.volume(sums, self.radius) for sums in self.sums)

    def densities(self) -> tuple[DensityMap, ...]:
        field = self.particles.pixel_size_angstrom * self.particles.disk.box
        values = [self.map.density(sums, self.radius) for sums in self.sums]
        return tuple(DensityMap(each, field / len(each)) for each in values)

    def step(self) -> None:
        """One batch: heads guess, winners learn, the winner's map takes the image in."""
        rows, radius = self._next_rows(), self.radius
        angles = generator_for(self.seed, "turns", self.steps).uniform(0, 2 * np.pi, len(rows))
        turns = torch.as_tensor(angles).float().to(rows.device, non_blocking=True)
        rotations, shifts = self._turned_guesses(rows, view_turns(turns))
        volumes, images = self.volumes(), self.particles.batch(rows, radius)
        winners = self.scored(volumes, images, rotations.detach(), shifts.detach())
        members = self._members(winners.number)
        chosen = torch.arange(len(rows), device=rows.device), winners.head
        best_rotations, best_shifts = rotations[chosen], shifts[chosen]
        best = best_rotations.detach(), best_shifts.detach()
        wanted = self._wanted_step(volumes, images, members, *best)
        self.optimiser.zero_grad()
        inner_product(wanted, best_rotations, best_shifts).backward()
        self.optimiser.step()
        self.sums = tuple(
            self._taken_in(sums, images.select(own), best[0][own], best[1][own], len(rows))
            for sums, own in zip(self.sums, members, strict=True)
        )
        # `bincount` would wait for a card
        pair = winners.head * self.classes + winners.number
        won = torch.nn.functional.one_hot(pair, self.wins.numel()).sum(dim=0).view_as(self.wins)
        self.wins = 0.99 * self.wins + won
        self.steps += 1
        if self.classes == 1:
            return
        if self.steps < self.search.march:
            self.handicap = self.handicap + handicap_step(won.sum(dim=0) / len(rows))
        else:
            self.handicap = torch.zeros_like(self.handicap)

    def _members(self, number: Int[Tensor, " b"]) -> list[Tensor | slice]:
        """Rows of the images that each class won; of the only class without waiting for a card."""
        if self.classes == 1:
            return [slice(None)]
        return [torch.nonzero(number == c).flatten() for c in range(self.classes)]

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
        self, volumes: Volumes, images: ImageBatch, rotations: Tensor, shifts: Tensor
    ) -> Winners:
        """Which head wins each image, and in which map."""
        likelihoods = [partial(negative_log_likelihood, volume, images) for volume in volumes]
        losses = torch.stack(
            [candidate_losses(each, rotations, shifts) for each in likelihoods], dim=2
        )
        # a candidate that scores NaN never wins while another does not
        ranked = (losses + self.handicap).nan_to_num(nan=torch.inf).flatten(1)
        pair = ranked.argmin(dim=1, keepdim=True)
        loss = losses.flatten(1).gather(1, pair)[:, 0]
        return Winners(loss, pair[:, 0] // self.classes, pair[:, 0] % self.classes)

    def _wanted_step(
        self,
        volumes: Volumes,
        images: ImageBatch,
        members: list[Tensor | slice],
        rotations: Float[Tensor, "b 3 3"],
        shifts: Float[Tensor, "b 2"],
    ) -> Float[Tensor, "b 5"]:
        """Minus the step that each winner should make in the map it won in."""
        gradient, hessian = (rotations.new_empty(len(images), 5, *more) for more in ((), (5,)))
        for volume, own in zip(volumes, members, strict=True):
            _, gradient[own], hessian[own] = pose_normal_equations(
                volume, images.select(own), rotations[own], shifts[own]
            )
        free, search = 3 if self.centred else 5, self.search
        return damped_step(gradient, hessian, free, search.damping, search.longest_step)

    def hypotheses(self, rows: Int[Tensor, " n"]) -> PoseHypotheses:
        """Every head's pose of each of `rows`, from the images as they are."""
        rotations, shifts = [], []
        with torch.no_grad():
            for part in rows.split(_PREDICTED_TOGETHER):
                found = self.encoder(self._seen(part))
                rotations.append(found[0])
                shifts.append(found[1])
        return PoseHypotheses(torch.cat(rotations), torch.cat(shifts))


def handicap_step(share: Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    """How much harder it gets to win for classes that won such shares of the images (nats).

    As `explore.patience.balanced` holds the priors of classes.
    """
    step = 0.5 * (len(share) * share.clamp_min(1e-3)).log()
    return step - step.mean()
