"""The second stage of CryoSPIN: each particle's own pose by gradient descent, with the volume.

As published (section 4.2), learning rates and all; `refine.gauss_newton` reaches the same
minima without any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cryospin.explore.amortised import batches
from cryospin.explore.decoders import Decoder
from cryospin.explore.heads import Likelihood
from cryospin.explore.snapshot import FiniteLosses, Snapshot
from cryospin.fourier.disk import FourierDisk
from cryospin.imaging import left_gradient
from cryospin.journal.tree import Tree
from cryospin.particles.draws import generator_for
from cryospin.particles.source import ParticleSource

_FIRST_MOMENT, _SECOND_MOMENT, _EPSILON = 0.9, 0.999, 1e-8


class PoseDescent:
    """Poses of n particles and the Adam state of each (Kingma and Ba 2015).

    Moments and step counts are rows that only their own particle's updates touch, so that an
    epoch costs what its particles cost: a dense optimiser walks over all n at every batch.
    """

    _NAMES = ("rotations", "shifts_pixel", "_first", "_second", "_steps")

    def __init__(
        self, rotations: Float[Tensor, "n 3 3"], shifts_pixel: Float[Tensor, "n 2"], rate: float
    ):
        self.rotations, self.shifts_pixel = rotations.clone(), shifts_pixel.clone()
        self.rate = rate
        self._first = rotations.new_zeros(len(rotations), 5)
        self._second = rotations.new_zeros(len(rotations), 5)
        self._steps = rotations.new_zeros(len(rotations), 1)

    def recorded(self) -> Tree:
        return [getattr(self, name) for name in self._NAMES]

    def recall(self, recorded: Tree) -> None:
        for name, value in zip(self._NAMES, recorded, strict=True):
            setattr(self, name, value)

    def step(self, rows: Int[Tensor, " b"], gradient: Float[Tensor, "b 5"]) -> None:
        """R <- exp([omega]) R (CryoSPIN Eq. 9) and t <- t + tau, with Adam's step (omega, tau).

        Each step starts at omega = 0, where exp is the Taylor series: no angle to divide by.
        """
        first = self._first[rows].lerp(gradient, 1 - _FIRST_MOMENT)
        second = self._second[rows].lerp(gradient.square(), 1 - _SECOND_MOMENT)
        steps = self._steps[rows] + 1
        self._first[rows], self._second[rows], self._steps[rows] = first, second, steps
        size = (second / (1 - _SECOND_MOMENT**steps)).sqrt() + _EPSILON
        step = -self.rate * first / (1 - _FIRST_MOMENT**steps) / size
        turned = roma.rotvec_to_rotmat(step[:, :3]) @ self.rotations[rows]
        self.rotations[rows] = _orthonormalised(turned)
        self.shifts_pixel[rows] += step[:, 3:]


@dataclass(frozen=True)
class DirectOptimisation:
    """Five pose updates, then one of the volume, for each batch."""

    epochs: int = 13
    batch: int = 64
    pose_rate: float = 0.05
    volume_rate: float = 0.02
    pose_updates: int = 5

    def optimiser(self, decoder: Decoder) -> torch.optim.Optimizer:
        return torch.optim.Adam(decoder.parameters(), lr=self.volume_rate, fused=True)

    def epoch(
        self,
        poses: PoseDescent,
        decoder: Decoder,
        optimiser: torch.optim.Optimizer,
        particles: ParticleSource,
        disk: FourierDisk,
        held_out: Float[Tensor, " n"],
        seed: int,
        number: int,
        last: Snapshot | None,
        progress: Callable[[int, int], None],
        done: int = 0,
        losses: Float[Tensor, " n"] | None = None,
        keep: Callable[[int, Float[Tensor, " n"]], None] = lambda done, losses: None,
    ) -> Float[Tensor, " n"]:
        """One pass over all particles; their losses before the volume's step.

        held_out: 1 for particles whose poses are optimised but whose images the volume does
            not learn from, else 0. Raises NonFiniteLossError.
        done, losses: particles that an earlier process has been through, and theirs.
        keep: called after each batch with these two.
        """
        order = generator_for(seed, "direct epoch", number).permutation(len(particles))
        finite = FiniteLosses("direct", number, last)
        losses = torch.zeros_like(held_out) if losses is None else losses
        for rows in batches(particles.rows(order), self.batch, done):
            images = particles.batch(rows, disk.radius)
            with torch.no_grad():
                likelihood = decoder.likelihood(images)
            for _ in range(self.pose_updates):
                loss, gradient = pose_gradient(
                    likelihood, poses.rotations[rows], poses.shifts_pixel[rows]
                )
                finite.see(loss)
                poses.step(rows, gradient)
            likelihood = decoder.likelihood(images)
            index = torch.arange(len(rows), device=images.device)
            loss = likelihood(poses.rotations[rows], poses.shifts_pixel[rows], index)
            finite.see(loss)
            optimiser.zero_grad()
            (loss * (1 - held_out[rows])).mean().backward()
            optimiser.step()
            losses[rows] = loss.detach()
            done += len(rows)
            progress(done, len(particles))
            keep(done, losses)
        finite.settle()
        return losses


def pose_gradient(
    likelihood: Likelihood,
    rotations: Float[Tensor, "b 3 3"],
    shifts_pixel: Float[Tensor, "b 2"],
) -> tuple[Float[Tensor, " b"], Float[Tensor, "b 5"]]:
    """Loss of each pose and its gradient for (omega, tau) at zero."""
    rotations, shifts_pixel = rotations.detach().requires_grad_(), shifts_pixel.detach()
    index = torch.arange(len(rotations), device=rotations.device)
    loss = likelihood(rotations, shifts_pixel.requires_grad_(), index)
    ambient, moved = torch.autograd.grad(loss.sum(), (rotations, shifts_pixel))
    turn = left_gradient(ambient, rotations.detach())
    return loss.detach(), torch.cat([turn, moved], dim=-1)


def _orthonormalised(rotations: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b 3 3"]:
    """One Newton step towards the nearest rotation: washes out the rounding of many turns."""
    return 1.5 * rotations - 0.5 * rotations @ rotations.mT @ rotations
