"""The encoder stage: batches, the half-turned image, and a loss that falls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from amortised_toys import small_decoder, small_encoder
from cryospin.explore.amortised import AmortisedModel, EncoderTraining, batches, candidates
from cryospin.explore.decoders import Decoder, ExplicitDecoder
from cryospin.explore.snapshot import NonFiniteLossError
from cryospin.fourier.disk import FourierDisk
from phantoms import Blobs, PlantedParticles

DISK = FourierDisk.of(16, 4.0)
PLANTED = PlantedParticles.of(Blobs.random(1, spread=2.0), DISK, 33, 2, signal=20.0)
PARTICLES = PLANTED.particles


def mantissa(decoder: Decoder) -> Tensor:
    assert isinstance(decoder, ExplicitDecoder)
    return decoder.volume.mantissa


def train(method: EncoderTraining, heads: int = 2, implicit: bool = False, members=33):
    model = AmortisedModel(
        small_encoder(PARTICLES, heads), small_decoder(PARTICLES, implicit), DISK
    )
    everyone = np.arange(members)
    arguments = (model, method.optimiser(model), PARTICLES, everyone, 3)
    reports = [
        method.epoch(*arguments, epoch, None, lambda done, total: None)
        for epoch in range(1, method.epochs + 1)
    ]
    return reports, method.predicted(model, PARTICLES, everyone)


@pytest.mark.parametrize(("count", "sizes"), [(9, [4, 5]), (10, [4, 4, 2]), (3, [3]), (1, [1])])
def test_a_lone_image_joins_the_batch_before(count: int, sizes: list[int]) -> None:
    parts = batches(torch.arange(count), 4)
    assert [len(part) for part in parts] == sizes
    assert torch.equal(torch.cat(parts), torch.arange(count))


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("symmetrised", [False, True])
def test_the_loss_falls(heads: int, implicit: bool, symmetrised: bool) -> None:
    rate = 1e-2 if implicit else 0.05
    method = EncoderTraining(4, 8, volume_rate=rate, symmetrised=symmetrised)
    reports, (hypotheses, best) = train(method, heads, implicit)
    assert float(reports[-1].loss.mean()) < float(reports[0].loss.mean())
    assert hypotheses.rotations.shape == (33, heads * (1 + symmetrised), 3, 3)
    assert torch.equal(best.rows, torch.arange(33))
    assert torch.equal(reports[0].rows.sort().values, torch.arange(33))


def test_the_same_seed_trains_the_same() -> None:
    first, second = (train(EncoderTraining(1, 8))[0][0] for _ in range(2))
    assert torch.equal(first.loss, second.loss) and torch.equal(first.rotations, second.rotations)


@pytest.mark.parametrize("members", [1, 5])
def test_fewer_images_than_a_batch(members: int) -> None:
    reports, _ = train(EncoderTraining(1, 64), members=members)
    assert len(reports[0].rows) == members


def test_the_half_turned_images_candidates_have_the_same_loss() -> None:
    """Scored on the turned image as the encoder saw it, or turned back on the image itself."""
    encoder, decoder = small_encoder(PARTICLES, 2).eval(), small_decoder(PARTICLES, False)
    batch = PARTICLES.batch(slice(3))
    images, mates = batch.coefficients, batch.coefficients.conj().resolve_conj()
    index = torch.arange(3)
    with torch.no_grad():
        nn.init.normal_(mantissa(decoder), generator=torch.Generator().manual_seed(0))
        plain = candidates(encoder, mates, False)
        both = candidates(encoder, images, True)
        turned = decoder.likelihood(replace(batch, coefficients=mates))
        itself = decoder.likelihood(batch)
        for head in range(2):
            seen = turned(plain.rotations[:, head], plain.shifts_pixel[:, head], index)
            back = itself(both.rotations[:, 2 + head], both.shifts_pixel[:, 2 + head], index)
            torch.testing.assert_close(seen, back, rtol=1e-4, atol=0)


def test_an_implicit_volume_asked_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = small_decoder(PARTICLES, True)
    likelihood = decoder.likelihood(PARTICLES.images())
    poses = PLANTED.rotations.float()[:7], torch.zeros(7, 2), torch.arange(7)
    together = likelihood(*poses)
    monkeypatch.setattr("cryospin.explore.decoders._POINTS", 3 * len(DISK))
    torch.testing.assert_close(likelihood(*poses), together)


def test_a_non_finite_loss_stops_before_it_spreads() -> None:
    encoder, decoder = small_encoder(PARTICLES, 2), small_decoder(PARTICLES, False)
    with torch.no_grad():
        mantissa(decoder).fill_(torch.nan)
    model, method = AmortisedModel(encoder, decoder, DISK), EncoderTraining(1, 8)
    before = [parameter.clone() for parameter in encoder.parameters()]
    with pytest.raises(NonFiniteLossError, match="encoder stage, epoch 1") as caught:
        method.epoch(
            model,
            method.optimiser(model),
            PARTICLES,
            np.arange(33),
            0,
            1,
            None,
            lambda done, total: None,
        )
    assert caught.value.last is None
    assert all(map(torch.equal, before, encoder.parameters()))
