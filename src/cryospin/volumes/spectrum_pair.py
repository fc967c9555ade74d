"""Two maps as whitened Fourier coefficients, one of them free to be moved.

Whitened (each shell of each map has unit power), a shell counts by how many coefficients it
has and how well they agree, not by how strong it is: maps of unequal B-factor or filter
align all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.fourier.volume import volume_spectrum
from cryospin.kernels import OVERSAMPLING
from cryospin.rotations.align import MIRROR
from cryospin.volumes.gridded import map_to_volume, spherical_support
from cryospin.volumes.turned_spectrum import turned_coefficients

# coefficients drawn from a shell: beyond, more of them cost time and tell little
_PER_SHELL = 4000


@dataclass(frozen=True)
class Placement:
    """x' = rotation M^flipped x + shift: a point of the moving map in the reference's frame.

    Pixels from the box centre. score: log-likelihood ratio, see `log_likelihood_ratio`.
    """

    rotation: Float[Tensor, "3 3"]
    shift_pixel: Float[Tensor, " 3"]
    flipped: bool
    score: float = -np.inf

    @property
    def matrix(self) -> Float[Tensor, "3 3"]:
        """Takes frequencies of the reference to those of the moving map: M^flipped Q^T."""
        return MIRROR @ self.rotation.T if self.flipped else self.rotation.T


@dataclass(frozen=True)
class SpectrumPair:
    """Two maps as whitened spectra: the reference on a ball of frequencies, sorted by |k|
    (a low-pass is a prefix), the moving one as an oversampled volume to be turned.

    frequencies: xyz, one of each Friedel pair, without the origin.
    reference_scale, moving_scale: 1 / the root mean square of each map's shell, per
        frequency: what whitened it.
    """

    box: int
    frequencies: Float[Tensor, "k 3"]
    shells: Int[Tensor, " k"]
    reference: Complex[Tensor, " k"]
    volume: Complex[Tensor, "z y x"]
    reference_scale: Float[Tensor, " k"]
    moving_scale: Float[Tensor, " k"]

    def within(self, radius: int) -> SpectrumPair:
        count = int(torch.searchsorted(self.shells, radius, right=True))
        return replace(
            self,
            frequencies=self.frequencies[:count],
            shells=self.shells[:count],
            reference=self.reference[:count],
            reference_scale=self.reference_scale[:count],
            moving_scale=self.moving_scale[:count],
        )

    def turned(self, matrices: Float[Tensor, "h 3 3"]) -> Complex[Tensor, "h k"]:
        """The moving map's whitened coefficients at `matrix @ k`."""
        values = turned_coefficients(self.volume, matrices, self.frequencies, OVERSAMPLING)
        return values * self.moving_scale

    def phases(self, shifts_pixel: Float[Tensor, "h 3"]) -> Complex[Tensor, "h k"]:
        """What shifts multiply coefficients by."""
        turns = (shifts_pixel * (-2 * np.pi / self.box)).float()
        angles = turns.to(self.frequencies.device) @ self.frequencies.T
        return torch.polar(self.frequencies.new_ones(()).expand_as(angles), angles)

    def moved(self, placements: Sequence[Placement]) -> Complex[Tensor, "h k"]:
        """The moving map's whitened coefficients after each placement."""
        matrices = torch.stack([each.matrix for each in placements])
        shifts = torch.stack([each.shift_pixel for each in placements])
        return self.turned(matrices) * self.phases(shifts)


def spectrum_pair(
    moving: Float[Tensor, "d d d"], reference: Float[Tensor, "d d d"], radius: int
) -> SpectrumPair:
    """Window both maps to the sphere that turns within the box, transform, whiten: where they
    are. Placements stay on the CPU."""
    box, device = reference.shape[-1], reference.device
    window = spherical_support(box, 0.4 * box, 0.1 * box, device)
    frequencies, shells = (each.to(device) for each in _ball(radius))
    volume = map_to_volume(moving.float() * window, box, radius + 1.0)
    identity = torch.eye(3, device=device)[None]
    turned = turned_coefficients(volume, identity, frequencies, OVERSAMPLING)[0]
    x, y, z = frequencies.long().unbind(-1)
    # the origin of phases is the centre of the box
    sign = 1.0 - 2.0 * ((x + y + z) % 2)
    fixed = volume_spectrum(reference.float() * window)[z % box, y % box, x] * sign
    reference_scale = _whitening(fixed, shells)
    return SpectrumPair(
        box=box,
        frequencies=frequencies,
        shells=shells,
        reference=fixed * reference_scale,
        volume=volume,
        reference_scale=reference_scale,
        moving_scale=_whitening(turned, shells),
    )


def correlation(pair: SpectrumPair, placement: Placement) -> float:
    """Of the two maps once superimposed, as they are: not whitened, without their means."""
    scale = pair.reference_scale * pair.moving_scale
    safe = scale.clamp_min(torch.finfo(scale.dtype).tiny)
    first = torch.where(scale > 0, pair.reference * pair.moving_scale / safe, 0)
    second = torch.where(scale > 0, pair.moved([placement])[0] * pair.reference_scale / safe, 0)
    cross = (first.conj() * second).real.double().sum()
    return float(cross / (first.norm() * second.norm()).double().clamp_min(1e-300))


def shell_correlations(
    first: Complex[Tensor, " k"], second: Complex[Tensor, "*h k"], shells: Int[Tensor, " k"]
) -> Float[Tensor, "*h s"]:
    """FSC over a ball of frequencies, with each of `second`; index s is shell s, shell 0 is
    empty."""
    cross = _shell_sums(shells, (first.conj() * second).real)
    one = _shell_sums(shells, first.abs().square())
    two = _shell_sums(shells, second.abs().square())
    return cross / (one * two).sqrt().clamp_min(1e-300)


def _shell_sums(shells: Int[Tensor, " k"], values: Float[Tensor, "*h k"]) -> Float[Tensor, "*h s"]:
    """Float64; shells in rising order. (`bincount` has no order of sums to rely on on a card.)"""
    shape = (int(shells[-1]) + 1, *values.shape[:-1])
    total = torch.zeros(shape, dtype=torch.float64, device=values.device)
    return total.index_add_(0, shells, values.movedim(-1, 0).double()).movedim(0, -1)


def log_likelihood_ratio(
    curve: Float[Tensor, "*h s"], shells: Int[Tensor, " k"]
) -> Float[Tensor, "*h"]:
    """Evidence that two maps share a signal: -sum_s n_s log(1 - FSC_s^2), FSC > 0.

    The ratio of the likelihoods of n_s pairs of complex Gaussian coefficients with that
    correlation and with none: shells add up by what they prove, with no weight to choose.
    """
    population = _shell_sums(shells, torch.ones_like(shells, dtype=torch.float64))
    positive = curve.clamp(0.0, 1.0 - 1e-9)
    return -(population * torch.log1p(-(positive**2))).sum(dim=-1)


def _ball(radius: int) -> tuple[Float[Tensor, "k 3"], Int[Tensor, " k"]]:
    """One of each Friedel pair of frequencies xyz of shells 1 .. radius, and their shells.

    At most `_PER_SHELL` of a shell, drawn at random.
    """
    axis = torch.arange(-radius, radius + 1)
    z, y, x = torch.meshgrid(axis, axis, torch.arange(radius + 1), indexing="ij")
    shells = (x**2 + y**2 + z**2).double().sqrt().round().long()
    half = (x > 0) | (y > 0) | ((y == 0) & (z > 0))
    population = torch.bincount(shells[half], minlength=int(shells.max()) + 1)
    draw = torch.rand(shells.shape, generator=torch.Generator().manual_seed(0))
    drawn = draw * population[shells] < _PER_SHELL
    keep = half & drawn & (shells >= 1) & (shells <= radius)
    shells, order = torch.sort(shells[keep], stable=True)
    return torch.stack([x[keep], y[keep], z[keep]], dim=-1)[order].float(), shells


def _whitening(values: Complex[Tensor, " k"], shells: Int[Tensor, " k"]) -> Float[Tensor, " k"]:
    """1 / the root mean square of each coefficient's shell; 0 for empty shells."""
    power = _shell_sums(shells, values.abs().square())
    power = power / _shell_sums(shells, torch.ones_like(shells, dtype=torch.float64)).clamp_min(1)
    scale = torch.where(power > 0, power.clamp_min(1e-300).rsqrt(), 0.0)
    return scale[shells].float()
