"""A pose for every particle from a map: a few hypotheses, each polished, the best kept.

Hypotheses are the peaks of an exhaustive search, or what an explorer hands on.

The grid finds the neighbourhoods, Gauss-Newton goes to their bottoms: subdividing a grid
only where the likelihood is high, taken to its limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.explore.posterior import best_hypotheses
from cryospin.explore.setting import Setting
from cryospin.fourier.image_batch import ImageBatch
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.journal.ranks import count, each
from cryospin.kernels import pose_losses, slice_volume
from cryospin.particles.source import ParticleSource
from cryospin.poses import Assignment, PoseHypotheses
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.rotations.grid import OrientationGrid

_BATCH = 250
_LARGER_ON_A_CARD = 40
SAME_POSE_COSINE = 0.996  # 5 degrees: less than half of any grid's spacing


@dataclass(frozen=True)
class GlobalAssignment:
    """hypotheses: peaks polished per particle. shifts_per_axis: points of the shift grid."""

    grid: OrientationGrid
    hypotheses: int = 4
    shifts_per_axis: int = 3
    polish: GaussNewton = GaussNewton(steps=6)

    def run(
        self,
        volume: Complex[Tensor, "z y x"],
        particles: ParticleSource,
        radius: float,
        setting: Setting,
        progress: Callable[[int, int], None] = lambda done, total: None,
        journal: Journal = UNRECORDED,
    ) -> Assignment:
        """Poses within `radius` Fourier pixels, as sure as their rivals leave them."""
        disk = particles.disk.prefix(radius)
        device = particles.device
        grid = self.grid.to(device).asymmetric_unit(setting.operators)
        slices = slice_volume(volume, grid.base, disk)
        shifts = setting.shifts_pixel(self.shifts_per_axis).to(device)

        def peaks(rows: slice, images: ImageBatch) -> PoseHypotheses:
            return best_hypotheses(grid, slices, images, shifts, self.hypotheses)

        return _best_of(peaks, self.polish, volume, particles, radius, setting, progress, journal)


@dataclass(frozen=True)
class PolishedHypotheses:
    """The best of each particle's hypotheses: the `keep` of least loss are polished, one is left.

    A `polish` of no steps takes the best one as it stands.
    """

    keep: int = 4
    polish: GaussNewton = GaussNewton(steps=6)

    def run(
        self,
        volume: Complex[Tensor, "z y x"],
        particles: ParticleSource,
        radius: float,
        setting: Setting,
        hypotheses: PoseHypotheses,
        progress: Callable[[int, int], None] = lambda done, total: None,
        journal: Journal = UNRECORDED,
    ) -> Assignment:
        """Poses within `radius` Fourier pixels, as sure as their rivals leave them."""

        def likely(rows: slice, images: ImageBatch) -> PoseHypotheses:
            some = hypotheses.rotations[rows], hypotheses.shifts_pixel[rows]
            return self._likely(volume, images, *some)

        return _best_of(likely, self.polish, volume, particles, radius, setting, progress, journal)

    def _likely(
        self, volume: Tensor, images: ImageBatch, rotations: Tensor, shifts: Tensor
    ) -> PoseHypotheses:
        """The few hypotheses of least loss of some images."""
        one, count = torch.arange(len(images), device=images.device), rotations.shape[1]
        losses = pose_losses(
            volume,
            images,
            rotations.reshape(-1, 3, 3),
            shifts.reshape(-1, 2),
            one.repeat_interleave(count),
        ).view(len(images), count)
        order = losses.argsort(dim=1, stable=True)[:, : self.keep]
        return PoseHypotheses(rotations[one[:, None], order], shifts[one[:, None], order])


def _best_of(
    hypotheses_of: Callable[[slice, ImageBatch], PoseHypotheses],
    polish: GaussNewton,
    volume: Complex[Tensor, "z y x"],
    particles: ParticleSource,
    radius: float,
    setting: Setting,
    progress: Callable[[int, int], None],
    journal: Journal,
) -> Assignment:
    """All particles, batch by batch."""
    found: list[Assignment] = list(journal.recalled() or ())
    size, done = _BATCH, sum(map(len, found))
    if particles.device.type != "cpu":
        size *= _LARGER_ON_A_CARD

    def best(first: int) -> Assignment:
        rows = slice(first, min(first + size, len(particles)))
        images = particles.batch(rows, radius).contiguous()
        hypotheses = hypotheses_of(rows, images)
        return _best_polished(polish, volume, images, hypotheses, setting.operators)

    firsts = range(done, len(particles), size)
    for number in range(0, len(firsts), count()):
        for part in each([partial(best, f) for f in firsts[number : number + count()]]):
            found.append(part)
            done += len(part)
        progress(done, len(particles))
        journal.keep(partial(Assignment.joined, found))
    return Assignment.joined(found)


def _best_polished(
    polish: GaussNewton,
    volume: Complex[Tensor, "z y x"],
    images: ImageBatch,
    hypotheses: PoseHypotheses,
    operators: Float[Tensor, "s 3 3"],
) -> Assignment:
    """The best pose of each image after polishing all its hypotheses."""
    count = hypotheses.rotations.shape[1]
    one = torch.arange(len(images), device=images.device)
    polished = polish.refine(
        volume,
        images,
        hypotheses.rotations.reshape(-1, 3, 3),
        hypotheses.shifts_pixel.reshape(-1, 2),
        one.repeat_interleave(count),
    )
    losses = polished.loss.view(len(images), count)
    keep = one * count + losses.argmin(dim=1)
    weights = torch.softmax(-losses, dim=1)
    confidence = _weight_near(polished, keep, weights, operators)
    return replace(polished.select(keep), confidence=confidence)


def _weight_near(
    polished: Assignment,
    chosen: Int[Tensor, " n"],
    weights: Float[Tensor, "n h"],
    operators: Float[Tensor, "s 3 3"],
) -> Float[Tensor, " n"]:
    """Posterior weight of the chosen pose, with that of rivals polished into the same one or into
    a symmetry mate of it."""
    rotations = polished.rotations.view(*weights.shape, 3, 3)
    best = polished.rotations[chosen]
    mates = best[:, None] @ operators
    cosine = (torch.einsum("nhij,nsij->nhs", rotations, mates).amax(dim=-1) - 1) / 2
    return (weights * (cosine > SAME_POSE_COSINE)).sum(dim=1).clamp_max(1.0)
