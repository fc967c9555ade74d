"""A training that begins at given poses: they are learned, and every loss leads to the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from amortised_toys import small_decoder
from cryospin.explore.amortised import AmortisedModel, EncoderTraining
from cryospin.explore.encoder import PoseEncoder, gaussian_pyramid
from cryospin.explore.heads import PoseHeads
from cryospin.explore.warm_start import WarmStart
from cryospin.fourier.disk import FourierDisk
from cryospin.rotations.align import align_rotations
from phantoms import Blobs, PlantedParticles, angles_degrees, random_turns

COUNT, SIDE = 100, 12
DISK = FourierDisk.of(16, 5.0)
PLANTED = PlantedParticles.of(
    Blobs.random(1, spread=2.0), DISK, COUNT, 2, signal=400.0, largest_shift=0.0
)
PARTICLES = PLANTED.particles
EVERYONE = np.arange(COUNT)
GIVEN = random_turns(COUNT, 5, degrees=15.0) @ PLANTED.rotations
START = WarmStart(
    PARTICLES.uids,
    GIVEN.float(),
    torch.zeros(COUNT, 2),
    epochs=60,
    volume_epochs=30,
    encoder_rate=1e-2,
)


class Recognition(nn.Module):
    """Which of the images, or of the half-turned ones, it is: one of 2n features is 1."""

    def __init__(self) -> None:
        super().__init__()
        images = PARTICLES.images().coefficients
        both = torch.cat([images, images.conj().resolve_conj()])
        self.known = gaussian_pyramid(both, DISK, SIDE).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        alike = images.flatten(1) @ self.known.mT
        return nn.functional.one_hot(alike.argmax(dim=1), 2 * COUNT).float()


def table_encoder(heads: int) -> PoseEncoder:
    """A pose of its own for each image: no network limits what a loss can lead to."""
    generator = torch.Generator().manual_seed(1)
    return PoseEncoder(
        DISK, SIDE, Recognition(), PoseHeads(2 * COUNT, heads, 1.0, generator, widths=())
    )


def begun(heads: int, implicit: bool, training: EncoderTraining) -> AmortisedModel:
    model = AmortisedModel(table_encoder(heads), small_decoder(PARTICLES, implicit, width=64), DISK)
    START.fit(model, training, PARTICLES, EVERYONE, 1)
    return model


# heads, implicit, symmetrised: as in cryoposenet, amortized, cryoai-explicit and cryoai
METHODS = [(1, False, False), (3, False, False), (1, False, True), (1, True, True)]


@pytest.mark.parametrize(("heads", "implicit", "symmetrised"), METHODS)
def test_from_near_poses_every_loss_leads_nearer(
    heads: int, implicit: bool, symmetrised: bool
) -> None:
    """15 degrees become less than 11 in the first epochs; 9 are left after them, as 100 images
    and a low resolution allow it."""
    rate = 1e-2 if implicit else 0.05
    training = EncoderTraining(40, 50, encoder_rate=3e-3, volume_rate=rate, symmetrised=symmetrised)
    model = begun(heads, implicit, training)
    _, fitted = training.predicted(model, PARTICLES, EVERYONE)
    assert float(angles_degrees(fitted.rotations, GIVEN).mean()) < 2.0
    optimiser = training.optimiser(model)
    for epoch in range(1, training.epochs + 1):
        arguments = model, optimiser, PARTICLES, EVERYONE, 1, epoch, None
        training.epoch(*arguments, lambda done, total: None)
    _, found = training.predicted(model, PARTICLES, EVERYONE)
    assert float(found.loss.mean()) < 0.5 * float(fitted.loss.mean())
    frame = align_rotations(found.rotations.double(), PLANTED.rotations)
    assert not frame.flipped and float(frame.errors_degrees.mean()) < 11.0


def test_every_particle_needs_a_pose() -> None:
    lacking = replace(START, uids=("another", *PARTICLES.uids[1:]))
    model = AmortisedModel(table_encoder(1), small_decoder(PARTICLES, False), DISK)
    with pytest.raises(KeyError):
        lacking.fit(model, EncoderTraining(), PARTICLES, EVERYONE, 1)
