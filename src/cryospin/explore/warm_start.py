"""A training that begins at poses which are known already, such as another program's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.explore.amortised import AmortisedModel, EncoderTraining, batches, candidates
from cryospin.particles.draws import generator_for
from cryospin.particles.source import ParticleSource
from cryospin.poses import PoseHypotheses


@dataclass(frozen=True)
class WarmStart:
    """Poses of the particles `uids`, and how encoder and volume are fitted to them.

    The encoder is taught them as a table of answers, the volume learns from the images as if they
    were right. What images say of their poses is not asked: that is the training's, which
    follows and is told nothing of them.

    encoder_rate: of Adam; that of the volume is the training's own.
    """

    uids: Sequence[str]
    rotations: Float[Tensor, "n 3 3"]
    shifts_pixel: Float[Tensor, "n 2"]
    epochs: int = 80
    volume_epochs: int = 5
    encoder_rate: float = 1e-3

    def fit(
        self,
        model: AmortisedModel,
        training: EncoderTraining,
        particles: ParticleSource,
        members: np.ndarray,
        seed: int,
    ) -> None:
        """Train on the rows `members`. Raises KeyError for a particle without a given pose."""
        row = {uid: number for number, uid in enumerate(self.uids)}
        given = particles.rows(np.array([row[uid] for uid in particles.uids]))
        rotations = self.rotations.to(particles.device)[given]
        shifts = self.shifts_pixel.to(particles.device)[given]
        optimiser = torch.optim.Adam(
            [
                {"params": model.encoder.parameters(), "lr": self.encoder_rate},
                {"params": model.decoder.parameters(), "lr": training.volume_rate},
            ],
            fused=True,
        )
        for epoch in range(1, self.epochs + 1):
            order = generator_for(seed, "warm start", epoch).permutation(members)
            for rows in batches(particles.rows(order), training.batch):
                model.encoder.train(len(rows) > 1)
                images = particles.batch(rows)
                found = candidates(model.encoder, images.coefficients, training.symmetrised)
                answers = rotations[rows], shifts[rows]
                loss = _distance(found, *answers).mean()
                if epoch > self.epochs - self.volume_epochs:
                    likelihood = model.decoder.likelihood(images.prefix(model.disk.radius))
                    index = torch.arange(len(rows), device=rows.device)
                    loss = loss + likelihood(*answers, index).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()


def _distance(
    found: PoseHypotheses, rotations: Float[Tensor, "b 3 3"], shifts_pixel: Float[Tensor, "b 2"]
) -> Float[Tensor, " b"]:
    """Squared distance of the nearest candidate: the others stay free to learn other images."""
    turn = (found.rotations - rotations[:, None]).square().sum(dim=(-2, -1))
    move = (found.shifts_pixel - shifts_pixel[:, None]).square().sum(dim=-1)
    return (turn + move).amin(dim=1)
