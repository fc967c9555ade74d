"""The first stage of CryoSPIN, and the whole of cryoAI and cryoPoseNet: an encoder is trained
to predict poses, together with the volume that is to explain the images at those poses.

What comes after the switch is in `refine.direct`; both are driven by `reconstruct.amortised`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.explore.decoders import Decoder
from cryospin.explore.encoder import PoseEncoder
from cryospin.explore.heads import Winners, winner_takes_all
from cryospin.explore.snapshot import FiniteLosses, Snapshot
from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.image_batch import ImageBatch
from cryospin.particles.draws import generator_for
from cryospin.particles.source import ParticleSource
from cryospin.poses import PoseHypotheses

_PREDICTED_TOGETHER = 64


@dataclass(frozen=True)
class EpochReport:
    """What the images of one epoch were found to be; every `head` of `rows` won its image."""

    rows: Int[Tensor, " b"]
    head: Int[Tensor, " b"]
    rotations: Float[Tensor, "b 3 3"]
    shifts_pixel: Float[Tensor, "b 2"]
    loss: Float[Tensor, " b"]

    @classmethod
    def joined(cls, parts: list[EpochReport]) -> EpochReport:
        names = ("rows", "head", "rotations", "shifts_pixel", "loss")
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class AmortisedModel:
    """What is trained. disk: the coefficients that images are explained on; the encoder may look
    at fewer."""

    encoder: PoseEncoder
    decoder: Decoder
    disk: FourierDisk


@dataclass(frozen=True)
class EncoderTraining:
    """Gradient descent on encoder and volume by the winner-takes-all loss (CryoSPIN Eq. 5).

    symmetrised: cryoAI's symmetrised loss (Levy et al. 2022): the image turned by
        pi in its plane is encoded too, and the smaller of the two losses counts.
    """

    epochs: int = 7
    batch: int = 64
    encoder_rate: float = 1e-4
    volume_rate: float = 0.05
    symmetrised: bool = False

    def optimiser(self, model: AmortisedModel) -> torch.optim.Optimizer:
        groups = [
            {"params": model.encoder.parameters(), "lr": self.encoder_rate},
            {"params": model.decoder.parameters(), "lr": self.volume_rate},
        ]
        return torch.optim.Adam(groups, fused=True)

    def epoch(
        self,
        model: AmortisedModel,
        optimiser: torch.optim.Optimizer,
        particles: ParticleSource,
        members: np.ndarray,
        seed: int,
        number: int,
        last: Snapshot | None,
        progress: Callable[[int, int], None],
        begun: EpochReport | None = None,
        keep: Callable[[list[EpochReport]], None] = lambda parts: None,
    ) -> EpochReport:
        """One pass over `members` in a random order of its own. Raises NonFiniteLossError.

        begun: what an earlier process found of it; model and optimiser are as it left them.
        keep: called after each batch with what was found so far.
        """
        order = particles.rows(generator_for(seed, "encoder epoch", number).permutation(members))
        losses = FiniteLosses("encoder", number, last)
        parts = [] if begun is None else [begun]
        done = sum(len(part.rows) for part in parts)
        for rows in batches(order, self.batch, done):
            # batch norm has no statistics of a single image to train on
            model.encoder.train(len(rows) > 1)
            images = particles.batch(rows)
            hypotheses = candidates(model.encoder, images.coefficients, self.symmetrised)
            winners = scored(model, images, hypotheses)
            losses.see(winners.loss)
            optimiser.zero_grad()
            winners.loss.mean().backward()
            optimiser.step()
            parts.append(report_of(rows, winners, hypotheses))
            done += len(rows)
            progress(done, len(members))
            keep(parts)
        losses.settle()
        return EpochReport.joined(parts)

    def predicted(
        self, model: AmortisedModel, particles: ParticleSource, members: np.ndarray
    ) -> tuple[PoseHypotheses, EpochReport]:
        """All candidates of `members`, and the best of each (CryoSPIN Eq. 6), in their order."""
        model.encoder.eval()
        hypotheses, parts = [], []
        with torch.no_grad():
            for rows in particles.rows(members).split(_PREDICTED_TOGETHER):
                images = particles.batch(rows)
                found = candidates(model.encoder, images.coefficients, self.symmetrised)
                hypotheses.append(found)
                winners = scored(model, images, found)
                parts.append(report_of(rows, winners, found))
        together = PoseHypotheses(
            torch.cat([found.rotations for found in hypotheses]),
            torch.cat([found.shifts_pixel for found in hypotheses]),
        )
        return together, EpochReport.joined(parts)


def batches(order: Int[Tensor, " n"], size: int, done: int = 0) -> list[Int[Tensor, " b"]]:
    """Batches of `size`, after the first `done` images; a single image left over joins the batch
    before it."""
    parts = list(order.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts[-(-done // size) :] if done < len(order) else []


def candidates(
    encoder: PoseEncoder, coefficients: Complex[Tensor, "b K"], symmetrised: bool
) -> PoseHypotheses:
    """What the heads say of each image, and of the half-turned image when symmetrised.

    Turned by pi in its plane an image has coefficients conj(x); a pose (R, t) of it is the pose
    (Rz(pi) R, -t) of the image itself, with the same likelihood, the CTF being even. The
    symmetrised loss is therefore the winner among twice as many candidates.
    """
    if not symmetrised:
        return PoseHypotheses(*encoder(coefficients))
    rotations, shifts = encoder(torch.cat([coefficients, coefficients.conj()]))
    rotations, mates = rotations.chunk(2)
    shifts, opposite = shifts.chunk(2)
    turned = torch.cat([-mates[..., :2, :], mates[..., 2:, :]], dim=-2)
    return PoseHypotheses(
        torch.cat([rotations, turned], dim=1), torch.cat([shifts, -opposite], dim=1)
    )


def scored(model: AmortisedModel, images: ImageBatch, hypotheses: PoseHypotheses) -> Winners:
    likelihood = model.decoder.likelihood(images.prefix(model.disk.radius))
    return winner_takes_all(likelihood, hypotheses.rotations, hypotheses.shifts_pixel)


def report_of(rows: Int[Tensor, " b"], winners: Winners, hypotheses: PoseHypotheses) -> EpochReport:
    """The winners' side of a batch, free of its graph."""
    chosen = torch.arange(len(rows), device=rows.device), winners.head
    return EpochReport(
        rows,
        winners.head,
        hypotheses.rotations[chosen].detach(),
        hypotheses.shifts_pixel[chosen].detach(),
        winners.loss.detach(),
    )
