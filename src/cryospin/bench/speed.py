"""Speed, as ratios of what runs in one process by turns: a figure that moves with machines less."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import roma
import torch
from torch import Tensor

from cryospin.bench.by_autograd import AutogradStage
from cryospin.explore.amortised import AmortisedModel
from cryospin.explore.decoders import ExplicitDecoder
from cryospin.explore.encoder import PoseEncoder
from cryospin.explore.setting import Setting
from cryospin.explore.winner_search import EncoderState
from cryospin.kernels import OVERSAMPLING, margin_for
from cryospin.particles.source import ParticleSource
from cryospin.particles.spectrum import signal_power
from cryospin.recipes import cryospin, cryospin_paper
from cryospin.reconstruct.amortised import AmortisedTraining
from cryospin.reconstruct.semi_amortised import SemiAmortised
from cryospin.refine.direct import PoseDescent
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.volumes.gridded import SliceSums, map_to_volume, volume_to_map, wiener_volume
from cryospin.volumes.hartley import HartleyVolume

_DENSE_UPDATES = 20
_ENCODED = 256


@dataclass(frozen=True)
class Speed:
    """Seconds per 1,000 images of two ways to do the same, and what was done."""

    what: str
    plain: float
    fast: float

    @property
    def ratio(self) -> float:
        return self.plain / self.fast


def timed(contenders: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each, taken in turn so that the machine's drift hits all alike.

    Each runs once more at first: compilation and warm-up, not counted.
    """
    took: dict[str, list[float]] = {name: [] for name in contenders}
    for repeat in range(repeats + 1):
        for name, run in contenders.items():
            began = time.perf_counter()
            run()
            if repeat:
                took[name].append(time.perf_counter() - began)
    return {name: median(values) for name, values in took.items()}


def encoder_stage(particles: ParticleSource, seed: int = 0, repeats: int = 3) -> Speed:
    """Training on 256 images: the published structure at full box, and that of `cryospin`.

    Each sees every image once, in batches of its own size; cost does not depend on the state.
    """
    published = cryospin_paper.recipe().starts.search
    fast = cryospin.recipe().starts.search
    assert isinstance(published, AmortisedTraining) and isinstance(fast, SemiAmortised)
    model = published_model(published, particles, seed)
    optimiser = published.encoder.optimiser(model)
    members = np.arange(min(_ENCODED, len(particles)))
    everyone = np.arange(len(particles))
    search = replace(fast.search, batch=len(members))
    state = EncoderState(search, particles, everyone, Setting(torch.eye(3)[None], 0.0, seed=seed))

    def plain() -> None:
        published.encoder.epoch(
            model, optimiser, particles, members, seed, 1, None, lambda done, total: None
        )

    seconds = timed({"plain": plain, "fast": state.step}, repeats)
    thousands = len(members) / 1000
    return Speed(
        "encoder stage, an epoch", seconds["plain"] / thousands, seconds["fast"] / thousands
    )


def published_model(
    method: AmortisedTraining, particles: ParticleSource, seed: int
) -> AmortisedModel:
    """VGG at full box, heads, and an explicit volume."""
    generator = torch.Generator().manual_seed(seed)
    disk = particles.disk.prefix(method.last_radius)
    encoder = PoseEncoder.vgg(disk, method.heads, 0.0, generator)
    volume = HartleyVolume.random(signal_power(particles), disk.radius, generator, oversampling=1)
    return AmortisedModel(encoder, ExplicitDecoder(volume, 1), disk)


def direct_stage(
    particles: ParticleSource, *, repeats: int = 3, batch: int = 64, seed: int = 0
) -> Speed:
    """Five pose updates and one volume update of all particles: the common way in batches of
    `batch` as the paper has it, and ours at once.

    Near their poses or not, the work is the same: poses are drawn at random, and the volume
    is noise.
    """
    disk, count = particles.disk, len(particles)
    generator = torch.Generator().manual_seed(seed)
    quaternions = torch.randn(count, 4, generator=generator)
    rotations = roma.unitquat_to_rotmat(torch.nn.functional.normalize(quaternions, dim=-1))
    shifts = torch.zeros(count, 2)
    size = 2 * margin_for(disk.radius) + 1
    parts = torch.randn(size, size, size // 2 + 1, 2, generator=generator)
    volume = torch.view_as_complex(parts)
    images = particles.images()

    def plain() -> None:
        current = volume
        for first in range(0, count, batch):
            rows = slice(first, first + batch)
            current, _, _ = AutogradStage().run(
                current, images.select(rows), rotations[rows], shifts[rows]
            )

    def fast() -> None:
        refined = GaussNewton(steps=5).refine(volume, images, rotations, shifts)
        _closed_form_volume(particles, refined.rotations, refined.shifts_pixel)

    seconds = timed({"plain": plain, "fast": fast}, repeats)
    what = "direct stage, five pose updates and one volume update"
    return Speed(what, seconds["plain"] * 1000 / count, seconds["fast"] * 1000 / count)


def _closed_form_volume(particles: ParticleSource, rotations: Tensor, shifts: Tensor) -> Tensor:
    """The volume update: sums, a Wiener division, and back to a volume that can be sliced."""
    disk, box = particles.disk, particles.disk.box
    margin = margin_for(disk.radius, OVERSAMPLING)
    sums = SliceSums.of_images(particles.images(), rotations, shifts, margin, torch.eye(3)[None])
    precision = torch.ones(int(disk.radius) + 2)
    volume = wiener_volume(sums.numerator, sums.denominator, precision, disk.radius)
    return map_to_volume(volume_to_map(volume, box, box), box, disk.radius)


@dataclass(frozen=True)
class PoseCost:
    """Seconds of an epoch of `updates` gradient updates of n poses, in batches of 64.

    rows: `PoseDescent`, whose state is touched only for the poses of the batch; run whole.
    dense: torch's Adam on all n poses at once, as the published code has it; from
        `_DENSE_UPDATES` updates, since a whole epoch's seconds go with n^2.
    """

    poses: int
    rows: float
    dense: float


def pose_cost(counts: tuple[int, ...], updates: int = 5, batch: int = 64) -> list[PoseCost]:
    """On poses alone: gradients are given, no image is looked at."""
    _rows_epoch(10 * batch, updates, batch)  # warm-up
    return [
        PoseCost(count, _rows_epoch(count, updates, batch), _dense_epoch(count, updates, batch))
        for count in counts
    ]


def _rows_epoch(count: int, updates: int, batch: int) -> float:
    poses = PoseDescent(torch.eye(3).repeat(count, 1, 1), torch.zeros(count, 2), rate=0.05)
    gradient = torch.randn(batch, 5, generator=torch.Generator().manual_seed(0))
    began = time.perf_counter()
    for rows in torch.arange(count).split(batch):
        for _ in range(updates):
            poses.step(rows, gradient[: len(rows)])
    return time.perf_counter() - began


def _dense_epoch(count: int, updates: int, batch: int) -> float:
    parameters = torch.zeros(count, 5, requires_grad=True)
    adam = torch.optim.Adam([parameters], lr=0.05)
    parameters.grad = torch.zeros_like(parameters)
    adam.step()  # makes the state
    began = time.perf_counter()
    for _ in range(_DENSE_UPDATES):
        parameters.grad[:batch] = 1.0
        adam.step()
    each = (time.perf_counter() - began) / _DENSE_UPDATES
    return each * updates * -(-count // batch)
