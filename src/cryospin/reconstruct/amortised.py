"""CryoSPIN on one half-set: an encoder explores, then each particle's pose is its own.

With no second stage it is the fully amortised inference of cryoAI and cryoPoseNet, whose
differences are fields. An explorer (`explore.exploration.Explorer`); it stands in this layer
because its second stage is a refinement.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from cryospin.explore.amortised import AmortisedModel, EncoderTraining, EpochReport
from cryospin.explore.decoders import Decoder, ExplicitDecoder, ImplicitDecoder
from cryospin.explore.encoder import PoseEncoder
from cryospin.explore.exploration import Exploration, ExplorerProgress, unheard
from cryospin.explore.heads import head_usage
from cryospin.explore.setting import Setting
from cryospin.explore.snapshot import Snapshot, Watch
from cryospin.explore.warm_start import WarmStart
from cryospin.fourier.disk import FourierDisk
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.journal.networks import recall_training, training_state
from cryospin.particles.draws import generator_for, held_out_split
from cryospin.particles.source import ParticleSource
from cryospin.particles.spectrum import signal_power
from cryospin.poses import Assignment, PoseHypotheses
from cryospin.refine.direct import DirectOptimisation, PoseDescent
from cryospin.refine.halves import HalfSet, sums_of
from cryospin.volumes.hartley import HartleyVolume
from cryospin.volumes.implicit import ImplicitVolume

MakeEncoder = Callable[[FourierDisk, int, float, torch.Generator], PoseEncoder]
"""From disk, number of heads, shift range in pixels and random numbers to an encoder."""


@dataclass(frozen=True)
class AmortisedTraining:
    """The method's parts and numbers.

    heads: M candidate poses per image; 1 leaves nothing to win.
    direct: the stage after the switch; None infers by the encoder to the end.
    implicit: the volume is a coordinate network, not a grid.
    oversampling: of the explicit volume's grid. 1 is the published grid, one voxel per Fourier
        pixel; 2 makes its linear interpolation accurate out to the edge of the box.
    last_radius: Fourier pixels to train on; the images' own radius where that is less.
    held_out: images (at most a tenth) the volume never learns from, for the score.
    make_encoder: the network that is trained.
    start: poses that encoder and volume are fitted to first; None: random weights.
    watch: called after each epoch, and once after the fit.
    """

    heads: int = 7
    encoder: EncoderTraining = EncoderTraining()
    direct: DirectOptimisation | None = DirectOptimisation()
    implicit: bool = False
    oversampling: int = 1
    one_thread: bool = True
    last_radius: float = 63.0
    held_out: int = 300
    make_encoder: MakeEncoder = PoseEncoder.vgg
    start: WarmStart | None = None
    watch: Watch | None = None

    @property
    def candidates(self) -> int:
        """Poses per image: the half-turned image has as many again."""
        return self.heads * (1 + self.encoder.symmetrised)

    def run(
        self,
        particles: ParticleSource,
        setting: Setting,
        progress: ExplorerProgress = unheard,
        journal: Journal = UNRECORDED,
    ) -> Exploration:
        """Train on one half-set from random weights. Raises NonFiniteLossError."""
        training = _Training(self, particles, setting, progress, journal)
        hypotheses, best = training.encoder_stage()
        rotations, shifts, losses = best.rotations, best.shifts_pixel, best.loss
        if self.direct is not None:
            rotations, shifts, losses = training.direct_stage(self.direct, rotations, shifts)
        poses = Assignment(rotations, shifts, torch.ones_like(losses), losses)
        if self.direct is not None:
            hypotheses = poses.alone()
        found = HalfSet(particles, poses)
        radius = training.disk.radius
        mean, error = training.score(losses)
        sums = sums_of(found, radius, setting.operators)
        return Exploration(sums, radius, (mean,), error, hypotheses)


class _Training:
    """One run's networks and circumstances."""

    def __init__(
        self,
        method: AmortisedTraining,
        particles: ParticleSource,
        setting: Setting,
        progress: ExplorerProgress,
        journal: Journal,
    ):
        self.method, self.particles, self.seed = method, particles, setting.seed
        self.progress, self.journal = progress, journal
        self.disk = particles.disk.prefix(method.last_radius)
        held_out, members = held_out_split(setting.shared_seed, particles.uids, method.held_out)
        self.held_out, self.members = np.sort(held_out), np.sort(members)
        number = int(generator_for(self.seed, "weights").integers(2**62))
        generator = torch.Generator().manual_seed(number)
        self.device = particles.device
        encoder = method.make_encoder(self.disk, method.heads, setting.shift_range_pixel, generator)
        decoder = self._decoder(generator)
        self.model = AmortisedModel(encoder.to(self.device), decoder, self.disk)
        self.began = time.monotonic()
        self.last: Snapshot | None = None

    def _decoder(self, generator: torch.Generator) -> Decoder:
        """Near zero, in units of the amplitude the images' power gives each shell: one learning
        rate then means the same share of every coefficient. (Exactly zero has no gradient for
        poses; the papers leave the units of images, and so those of the rate, open.)"""
        # made on the CPU, where the generator is: a seed means the same everywhere
        power = signal_power(self.particles).cpu()
        if self.method.implicit:
            implicit = ImplicitVolume(power, self.disk.box, generator)
            return ImplicitDecoder(implicit.to(self.device))
        oversampling = self.method.oversampling
        volume = HartleyVolume.random(power, self.disk.radius, generator, oversampling=oversampling)
        return ExplicitDecoder(volume.to(self.device), oversampling)

    def encoder_stage(self) -> tuple[PoseHypotheses, EpochReport]:
        """All candidates of each particle, and the best one of each."""
        stage, count = self.method.encoder, len(self.particles)
        optimiser, journal = stage.optimiser(self.model), self.journal.part("encoder")
        predicted = partial(stage.predicted, self.model, self.particles)
        rotations = torch.eye(3, device=self.device).repeat(count, 1, 1)
        shifts = torch.zeros(count, 2, device=self.device)
        networks = self.model.encoder, self.model.decoder
        done, begun = 0, None
        if recalled := journal.recalled():
            trained, done, rotations, shifts, self.last, begun = recalled
            recall_training(networks, optimiser, trained)
        elif self.method.start is not None:
            given = self.method.start
            given.fit(self.model, stage, self.particles, self.members, self.seed)
            best = predicted(np.arange(count))[1]
            rotations, shifts = best.rotations, best.shifts_pixel
            usage = head_usage(best.head, self.method.candidates)
            self._snapshot("given", 0, rotations, shifts, usage, [float(best.loss.mean())])
        trained = partial(training_state, networks, optimiser)
        for epoch in range(done + 1, stage.epochs + 1):

            def keep(parts: list[EpochReport], epoch: int = epoch) -> None:
                found = partial(EpochReport.joined, parts)
                journal.keep(trained, epoch - 1, rotations, shifts, self.last, found)

            reports = [
                stage.epoch(
                    self.model,
                    optimiser,
                    self.particles,
                    self.members,
                    self.seed,
                    epoch,
                    self.last,
                    partial(self._tell, "encoder", epoch),
                    begun,
                    keep,
                )
            ]
            begun = None
            if self.method.watch is not None and len(self.held_out):
                reports.append(predicted(self.held_out)[1])
            for found in reports:
                rotations[found.rows], shifts[found.rows] = found.rotations, found.shifts_pixel
            usage = head_usage(reports[0].head, self.method.candidates)
            losses = [float(found.loss.mean()) for found in reports]
            self._snapshot("encoder", epoch, rotations, shifts, usage, losses)
        journal.keep_now(trained, stage.epochs, rotations, shifts, self.last, None)
        return predicted(np.arange(count))

    def direct_stage(
        self, stage: DirectOptimisation, rotations: Tensor, shifts: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Poses from where they are to where this stage ends, and their losses there."""
        poses, decoder = PoseDescent(rotations, shifts, stage.pose_rate), self.model.decoder
        optimiser, journal = stage.optimiser(decoder), self.journal.part("direct")
        unseen = torch.zeros(len(self.particles), device=self.device)
        members, held_out = map(self.particles.rows, (self.members, self.held_out))
        unseen[held_out] = 1
        losses = torch.zeros_like(unseen)
        epochs, done = 0, 0
        if recalled := journal.recalled():
            trained, descended, epochs, self.last, done, losses = recalled
            recall_training([decoder], optimiser, trained)
            poses.recall(descended)
        trained = partial(training_state, [decoder], optimiser)
        for number in range(epochs + 1, stage.epochs + 1):

            def keep(done: int, losses: Tensor, number: int = number) -> None:
                journal.keep(trained, poses.recorded, number - 1, self.last, done, losses)

            epoch = self.method.encoder.epochs + number
            losses = stage.epoch(
                poses,
                decoder,
                optimiser,
                self.particles,
                self.disk,
                unseen,
                self.seed,
                epoch,
                self.last,
                partial(self._tell, "direct", epoch),
                done,
                losses if done else None,
                keep,
            )
            done = 0
            means = [float(losses[rows].mean()) for rows in (members, held_out)]
            self._snapshot(
                "direct", epoch, poses.rotations, poses.shifts_pixel, torch.zeros(0), means
            )
        return poses.rotations, poses.shifts_pixel, losses

    def _tell(self, stage: str, epoch: int, done: int, count: int) -> None:
        direct = 0 if self.method.direct is None else self.method.direct.epochs
        total = (self.method.encoder.epochs + direct) * count
        self.progress(f"{stage} epoch {epoch}", (epoch - 1) * count + done, total)

    def _snapshot(
        self,
        stage: str,
        epoch: int,
        rotations: Tensor,
        shifts: Tensor,
        usage: Tensor,
        losses: list[float],
    ) -> None:
        """Keep the state as the last good one, and show it to who watches."""
        now = time.monotonic()
        self.last = Snapshot(
            epoch, now - self.began, stage, rotations.clone(), shifts.clone(), usage, *losses
        )
        if self.method.watch is not None:
            self.method.watch(self.last)
            self.began += time.monotonic() - now

    def score(self, losses: Tensor) -> tuple[float, float]:
        """Mean log-likelihood of held-out images over that of an empty map, and its error."""
        chosen = self.held_out if len(self.held_out) else np.arange(len(losses))
        rows = self.particles.rows(chosen)
        images = self.particles.batch(rows, self.disk.radius)
        gained = images.coefficients.abs().square().sum(dim=1) - losses[rows]
        return float(gained.mean()), float(gained.std() / len(rows) ** 0.5)
