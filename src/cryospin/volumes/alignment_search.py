"""The search behind `align_maps`: an exhaustive coarse grid, then Gauss-Newton up the shells.

Works on whitened coefficients (each shell of each map has unit power), so that a shell
counts by how many coefficients it has and how well they agree, not by how strong it is:
maps of unequal B-factor or filter align all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import roma
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.kernels import OVERSAMPLING
from cryospin.rotations.align import MIRROR
from cryospin.rotations.grid import VIEW_HALF_TURNS, OrientationGrid
from cryospin.volumes.gridded import map_to_volume, spherical_support
from cryospin.volumes.turned_spectrum import turned_coefficients

# the coarse search: 14.7 degrees x 15 degrees, and shells whose features are that wide
COARSE_RADIUS = 7
_COARSE_NSIDE = 4
_COARSE_IN_PLANE = 24
_COARSE_GRID = 16
_CHUNK = 256
_KEPT_PER_HAND = 6
_DISTINCT_DEGREES = 25.0
_RADIUS_GROWTH = 1.4
_NOISE = 0.05
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

    def phases(self, shift_pixel: Float[Tensor, " 3"]) -> Complex[Tensor, " k"]:
        """What a shift multiplies coefficients by."""
        angle = self.frequencies @ (shift_pixel * (-2 * np.pi / self.box)).float()
        return torch.polar(self.frequencies.new_ones(()).expand_as(angle), angle)

    def moved(self, placement: Placement) -> Complex[Tensor, " k"]:
        """The moving map's whitened coefficients after placement."""
        return self.turned(placement.matrix[None])[0] * self.phases(placement.shift_pixel)


def spectrum_pair(
    moving: Float[Tensor, "d d d"], reference: Float[Tensor, "d d d"], radius: int
) -> SpectrumPair:
    """Window both maps to the sphere that turns within the box, transform, whiten."""
    box = reference.shape[-1]
    window = spherical_support(box, 0.4 * box, 0.1 * box)
    frequencies, shells = _ball(radius)
    volume = map_to_volume(moving.float() * window, box, radius + 1.0)
    identity = torch.eye(3)[None]
    turned = turned_coefficients(volume, identity, frequencies, OVERSAMPLING)[0]
    x, y, z = frequencies.long().unbind(-1)
    # the origin of phases is the centre of the box
    sign = 1.0 - 2.0 * ((x + y + z) % 2)
    fixed = torch.fft.rfftn(reference.float() * window)[z % box, y % box, x] * sign
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
    second = torch.where(scale > 0, pair.moved(placement) * pair.reference_scale / safe, 0)
    cross = (first.conj() * second).real.double().sum()
    return float(cross / (first.norm() * second.norm()).double().clamp_min(1e-300))


def search(pair: SpectrumPair, largest_radius: int) -> Placement:
    """The best placement over all of SO(3), both hands, and shifts up to a quarter box."""
    radius = min(COARSE_RADIUS, largest_radius)
    shells = pair.within(radius)
    placements = [_refined(shells, p, steps=4) for p in coarse_placements(shells)]
    kept = 6
    while radius < largest_radius:
        inner, radius = radius, min(int(_RADIUS_GROWTH * radius) + 1, largest_radius)
        shells = pair.within(radius)
        best = _best_distinct(placements)[:kept]
        placements = [_refined(shells, p, steps=6) for p in best]
        kept = max(1, kept // 2)
        moved = shells.moved(_best_distinct(placements)[0])
        curve = shell_correlations(shells.reference, moved, shells.shells)
        if curve[inner + 1 :].mean() < _NOISE:
            break
    return _refined(shells, _best_distinct(placements)[0], steps=12)


def coarse_placements(pair: SpectrumPair) -> list[Placement]:
    """The best grid orientations of either hand, at least `_DISTINCT_DEGREES` apart.

    For each orientation the correlation at all shifts is one small inverse transform.
    """
    grid = OrientationGrid.of(_COARSE_NSIDE, _COARSE_IN_PLANE).base
    rotations = (VIEW_HALF_TURNS[:, None] @ grid).flatten(0, 1).double()
    found = []
    for flipped in (False, True):
        matrices = MIRROR @ rotations.mT if flipped else rotations.mT
        scores, shifts = [], []
        for chunk in matrices.split(_CHUNK):
            score, shift = _best_shifts(pair, chunk)
            scores.append(score)
            shifts.append(shift)
        order = _distinct(rotations, torch.cat(scores), _KEPT_PER_HAND)
        shift = torch.cat(shifts)
        found += [Placement(rotations[i], shift[i], flipped) for i in order]
    return found


def shell_correlations(
    first: Complex[Tensor, " k"], second: Complex[Tensor, " k"], shells: Int[Tensor, " k"]
) -> Float[Tensor, " s"]:
    """FSC over a ball of frequencies; index s is shell s, shell 0 is empty."""
    cross = torch.bincount(shells, weights=(first.conj() * second).real.double())
    one = torch.bincount(shells, weights=first.abs().square().double())
    two = torch.bincount(shells, weights=second.abs().square().double())
    return cross / (one * two).sqrt().clamp_min(1e-300)


def log_likelihood_ratio(curve: Float[Tensor, " s"], shells: Int[Tensor, " k"]) -> float:
    """Evidence that two maps share a signal: -sum_s n_s log(1 - FSC_s^2), FSC > 0.

    The ratio of the likelihoods of n_s pairs of complex Gaussian coefficients with that
    correlation and with none: shells add up by what they prove, with no weight to choose.
    """
    population = torch.bincount(shells, minlength=len(curve))
    positive = curve.clamp(0.0, 1.0 - 1e-9)
    return float(-(population * torch.log1p(-(positive**2))).sum())


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
    power = torch.bincount(shells, weights=values.abs().square().double())
    power = power / torch.bincount(shells).clamp_min(1)
    scale = torch.where(power > 0, power.clamp_min(1e-300).rsqrt(), 0.0)
    return scale[shells].float()


def _best_shifts(
    pair: SpectrumPair, matrices: Float[Tensor, "h 3 3"]
) -> tuple[Float[Tensor, " h"], Float[Tensor, "h 3"]]:
    """Highest correlation over a grid of shifts, and the shift in pixels."""
    size = _COARSE_GRID
    product = pair.reference * pair.turned(matrices).conj()
    x, y, z = pair.frequencies.long().unbind(-1)
    # irfftn adds the mates of x > 0 by itself; on x = 0 only one of each pair is there
    product = torch.where(x == 0, 2 * product, product)
    spectrum = torch.zeros(len(matrices), size, size, size // 2 + 1, dtype=torch.complex64)
    spectrum[:, z % size, y % size, x] = product
    correlation = torch.fft.irfftn(spectrum, s=(size, size, size)).flatten(1)
    step = torch.fft.fftfreq(size, 1.0 / size)
    shifts = torch.stack(torch.meshgrid(step, step, step, indexing="ij"), dim=-1).flatten(0, 2)
    correlation[:, shifts.norm(dim=1) > size / 4] = -torch.inf
    score, best = correlation.max(dim=1)
    return score, shifts[best].flip(-1).double() * (pair.box / size)


def _distinct(
    rotations: Float[Tensor, "h 3 3"], scores: Float[Tensor, " h"], count: int
) -> list[int]:
    """Indices of the best scores, each at least `_DISTINCT_DEGREES` from the better ones."""
    scores = scores.clone()
    chosen = []
    for _ in range(count):
        best = int(scores.argmax())
        if scores[best] == -torch.inf:
            break
        chosen.append(best)
        distance = roma.rotmat_geodesic_distance(rotations, rotations[best][None])
        scores[torch.rad2deg(distance) < _DISTINCT_DEGREES] = -torch.inf
    return chosen


def _best_distinct(placements: list[Placement]) -> list[Placement]:
    """Best score first, without those that ended where a better one is."""
    kept: list[Placement] = []
    for placement in sorted(placements, key=lambda p: -p.score):
        twins = [
            roma.rotmat_geodesic_distance(placement.rotation, other.rotation) < 0.05
            for other in kept
            if other.flipped == placement.flipped
        ]
        if not any(twins):
            kept.append(placement)
    return kept


def _refined(pair: SpectrumPair, start: Placement, steps: int) -> Placement:
    """Gauss-Newton (Levenberg-Marquardt) on the correlation weighted by FSC / (1 - FSC^2).

    That weight makes the correlation a log-likelihood (Gaussian signal and noise); it is
    taken from the start and held, so that steps can be compared.
    """
    moved = pair.moved(start)
    curve = shell_correlations(pair.reference, moved, pair.shells).clamp(0.0, 0.99)
    weight = (curve / (1.0 - curve**2))[pair.shells].float()
    fading = curve[pair.shells].float()  # noise has gradients too: only the signal's count
    score = _weighted(pair.reference, moved, weight)
    placement, damping = start, 1e-2
    for _ in range(steps):
        jacobian = _jacobian(pair, placement, moved)
        weighted = jacobian.conj() * weight
        gradient = (weighted @ pair.reference).real.double()
        normal = ((weighted * fading) @ jacobian.T).real.double()
        diagonal = normal.diagonal().clamp_min(1e-12).diag()
        step = torch.linalg.solve(normal + damping * diagonal, gradient)
        trial = _stepped(placement, step)
        trial_moved = pair.moved(trial)
        trial_score = _weighted(pair.reference, trial_moved, weight)
        if trial_score <= score:
            damping *= 10.0
            if damping > 1e3:
                break
            continue
        gain = trial_score - score
        placement, moved, score, damping = trial, trial_moved, trial_score, damping / 10.0
        if gain < 1e-5 * abs(score):
            break
    final = shell_correlations(pair.reference, moved, pair.shells)
    return replace(placement, score=log_likelihood_ratio(final, pair.shells))


def _weighted(
    reference: Complex[Tensor, " k"], moved: Complex[Tensor, " k"], weight: Float[Tensor, " k"]
) -> float:
    return float(((reference.conj() * moved).real * weight).double().sum())


def _jacobian(
    pair: SpectrumPair, placement: Placement, moved: Complex[Tensor, " k"]
) -> Complex[Tensor, "6 k"]:
    """Derivatives by a turn of the moving map in the reference's frame (rad), and by shift."""
    # a one-sided difference moves the optimum by half its step; far above float32's noise
    step = 0.005 / float(pair.shells[-1])
    rotations = roma.rotvec_to_rotmat(step * torch.eye(3, dtype=torch.float64))
    matrices = placement.matrix @ rotations.mT  # (exp(step) Q)^T = Q^T exp(step)^T
    turned = pair.turned(matrices) * pair.phases(placement.shift_pixel)
    shifts = pair.frequencies.T * (-2j * np.pi / pair.box) * moved
    return torch.cat([(turned - moved) / step, shifts])


def _stepped(placement: Placement, step: Float[Tensor, " 6"]) -> Placement:
    """exp(step[:3]) on the left of the rotation, the shift moved by step[3:] pixels."""
    turn = roma.rotvec_to_rotmat(step[:3])
    return replace(
        placement,
        rotation=turn @ placement.rotation,
        shift_pixel=placement.shift_pixel + step[3:],
    )
