"""A learned relation: how likely each common line and tilt is for a pair of images.

Each image's rays (`pairs.lines`) go through convolutions along the angle, so that turning an
image turns its features. A pair's logits are inner products of them,

    l(t, a, b) = s <x_a, y_b> + sum_c lambda_tc f_tc(a) f_tc(b) + bias_t,

over tilts t, rays a of one image and b of the other, with x, y the normalised lines
themselves, each ring and each line weighed as the network finds best: the untrained network is
classical line matching. By construction S_ji = S_ij^T, a half-turn of a
line in both images changes nothing, and a rotation of an image turns S. A softmax makes it a
probability: where a particle looks alike from several sides it is spread out, and no angle is
claimed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from cryospin.fourier.disk import FourierDisk, moved
from cryospin.pairs.lines import MARGIN, PolarLines, filtered, polar_lines
from cryospin.particles.source import ParticleSource

_TINY = 1e-20


@dataclass(frozen=True)
class PairNetworkShape:
    """lines: in half a turn. radii: the first and number of the Fourier pixels looked at.

    tilts: bins of equal solid angle, cosines (2 t + 1) / tilts - 1.
    """

    lines: int = 30
    first_radius: float = 2.0
    radii: int = 11
    tilts: int = 6
    features: int = 16
    width: int = 96
    blocks: int = 4

    @property
    def last_radius(self) -> float:
        return self.first_radius + self.radii - 1

    @property
    def tilt_cosines(self) -> Float[Tensor, " t"]:
        return (2.0 * torch.arange(self.tilts) + 1.0) / self.tilts - 1.0


@dataclass(frozen=True)
class PairFeatures:
    """What logits are inner products of: rays in [0, pi) on the left, all rays on the right."""

    left: Float[Tensor, "n t a c"]
    right: Float[Tensor, "n t b c"]

    def select(self, rows: Tensor | slice) -> PairFeatures:
        return PairFeatures(self.left[rows], self.right[rows])


class PairNetwork(nn.Module):
    """Rays of images to features, features of pairs to logits."""

    def __init__(self, shape: PairNetworkShape, generator: torch.Generator):
        super().__init__()
        self.shape = shape
        width, out = shape.width, shape.tilts * shape.features
        self.enter = nn.Conv1d(3 * shape.radii + 1, width, 1)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(shape.blocks))
        self.leave = nn.Conv1d(width, out, 1)
        self.mixture = nn.Parameter(torch.ones(shape.tilts, shape.features))
        self.bias = nn.Parameter(torch.zeros(shape.tilts))
        self.sharpness = nn.Parameter(torch.tensor(math.log(15.0)))
        # logarithms of what rings and lines weigh, 0 to begin with
        self.rings = nn.Linear(shape.radii, shape.radii)
        self.strength = nn.Parameter(torch.zeros(()))
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                bound = (module.in_channels * module.kernel_size[0]) ** -0.5
                nn.init.uniform_(module.weight, -bound, bound, generator=generator)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        nn.init.zeros_(self.rings.weight)
        nn.init.zeros_(self.rings.bias)
        with torch.no_grad():
            self.leave.weight *= 0.3

    def forward(
        self, rays: Complex[Tensor, "n a r"], clarity: Float[Tensor, "n r"]
    ) -> PairFeatures:
        """rays: filtered lines in [0, pi). clarity: how much of each ring is signal, in [0, 1]."""
        shape = self.shape
        size = rays.abs().square().sum(dim=-1, keepdim=True).sqrt().clamp_min(_TINY)
        unit = rays / size
        whole = torch.cat([unit, unit.conj()], dim=1)
        # a line's length against the image's mean says how much there is on it
        plain = torch.view_as_real(whole.resolve_conj()).flatten(2) * shape.radii**0.5
        stands_out = (size / size.mean(dim=1, keepdim=True)).log().repeat(1, 2, 1)
        told = clarity[:, None].expand(-1, 2 * shape.lines, -1)
        hidden = self.enter(torch.cat([plain, stands_out, told], dim=2).mT)
        for block in self.blocks:
            hidden = block(hidden)
        learned = self.leave(hidden).mT.unflatten(2, (shape.tilts, shape.features))
        learned = learned.transpose(1, 2)  # n t b c
        # either ray of a line has a say
        learned = torch.cat([learned, learned.roll(shape.lines, dims=2)], dim=3) * 0.5**0.5
        mixture = torch.cat([self.mixture, self.mixture], dim=1)[:, None]
        weight = (self.rings(clarity)[:, None] + self.strength * stands_out).exp()
        lines = torch.view_as_real((whole * weight).resolve_conj()).flatten(2)[:, None]
        lines = lines.expand(-1, shape.tilts, -1, -1)
        half = shape.lines
        left = torch.cat(
            [self.sharpness.exp() * lines[:, :, :half], mixture * learned[:, :, :half]], dim=3
        )
        return PairFeatures(left, torch.cat([lines, learned], dim=3))

    def logits(self, one: PairFeatures, other: PairFeatures) -> Float[Tensor, "p t a b"]:
        """Of pairs p: image p of `one` with image p of `other`."""
        return one.left @ other.right.mT + self.bias[:, None, None]


class _Block(nn.Module):
    """Circular convolution along the angle with a way around it."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.along = nn.Conv1d(width, width, 5, padding=2, padding_mode="circular")
        self.across = nn.Conv1d(width, width, 1)

    def forward(self, hidden: Float[Tensor, "n c b"]) -> Float[Tensor, "n c b"]:
        inner = nn.functional.gelu(self.along(self.norm(hidden)))
        return hidden + self.across(inner)


def network_input(
    particles: ParticleSource,
    power: Float[Tensor, " s"],
    shape: PairNetworkShape,
    shifts_pixel: Float[Tensor, "n 2"] | None = None,
) -> tuple[PolarLines, Float[Tensor, "n r"]]:
    """Filtered lines of images, centred by their shifts, and the clarity of each ring.

    clarity: mean of C^2 tau^2 / (C^2 tau^2 + noise) on the ring, what the transfer function and the
    noise leave.
    """
    disk = particles.disk.prefix(shape.last_radius + MARGIN)
    values = filtered(particles, power, disk)
    if shifts_pixel is not None:
        values = moved(values, -shifts_pixel.float(), disk)
    lines = polar_lines(values, disk, shape.lines, shape.first_radius, shape.last_radius)
    return lines, ring_clarity(particles, power, disk, shape)


def ring_clarity(
    particles: ParticleSource,
    power: Float[Tensor, " s"],
    disk: FourierDisk,
    shape: PairNetworkShape,
) -> Float[Tensor, "n r"]:
    shell, population = disk.shells(particles.device), disk.population(particles.device)
    signal = particles.images(disk.radius).ctf.square() * power[shell].clamp_min(0.0)
    share = signal / (signal + particles.noise_level)
    first = int(shape.first_radius)
    rings = share.new_zeros(len(share), len(population)).index_add_(1, shell, share)
    rings = rings / population
    return rings[:, first : first + shape.radii]
