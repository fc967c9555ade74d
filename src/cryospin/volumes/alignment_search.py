"""The search behind `align_maps`: an exhaustive coarse grid, then Gauss-Newton up the shells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import roma
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.fourier.volume import volume_of_spectrum
from cryospin.parallel import in_blocks_on, single_threaded_torch
from cryospin.rotations.align import MIRROR
from cryospin.rotations.grid import VIEW_HALF_TURNS, OrientationGrid
from cryospin.volumes.spectrum_pair import (
    Placement,
    SpectrumPair,
    log_likelihood_ratio,
    shell_correlations,
)

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


BOTH_HANDS = (False, True)


def search(
    pair: SpectrumPair, largest_radius: int, hands: tuple[bool, ...] = BOTH_HANDS
) -> Placement:
    """The best placement over all of SO(3), the hands given, and shifts up to a quarter box."""
    with single_threaded_torch():
        return _searched(pair, largest_radius, hands)


def _searched(pair: SpectrumPair, largest_radius: int, hands: tuple[bool, ...]) -> Placement:
    radius = min(COARSE_RADIUS, largest_radius)
    shells = pair.within(radius)
    placements = _all_refined(shells, coarse_placements(shells, hands), steps=4)
    kept = 6
    while radius < largest_radius:
        inner, radius = radius, min(int(_RADIUS_GROWTH * radius) + 1, largest_radius)
        shells = pair.within(radius)
        best = _best_distinct(placements)[:kept]
        placements = _all_refined(shells, best, steps=6)
        kept = max(1, kept // 2)
        moved = shells.moved(_best_distinct(placements)[0])
        curve = shell_correlations(shells.reference, moved, shells.shells)
        if curve[inner + 1 :].mean() < _NOISE:
            break
    return refined(shells, _best_distinct(placements)[0], steps=12)


def coarse_placements(pair: SpectrumPair, hands: tuple[bool, ...] = BOTH_HANDS) -> list[Placement]:
    """The best grid orientations of each hand, at least `_DISTINCT_DEGREES` apart.

    For each orientation the correlation at all shifts is one small inverse transform.
    """
    grid = OrientationGrid.of(_COARSE_NSIDE, _COARSE_IN_PLANE).base
    rotations = (VIEW_HALF_TURNS[:, None] @ grid).flatten(0, 1).double()
    found = []
    for flipped in hands:
        matrices = MIRROR @ rotations.mT if flipped else rotations.mT

        def best(rows: slice, matrices: Tensor = matrices) -> tuple[Tensor, Tensor]:
            return best_shifts(pair, matrices[rows])

        device = pair.reference.device
        scores, shifts = zip(*in_blocks_on(device, best, len(matrices), _CHUNK), strict=True)
        order = _distinct(rotations, torch.cat(scores).cpu(), _KEPT_PER_HAND)
        shift = torch.cat(shifts).cpu()
        found += [Placement(rotations[i], shift[i], flipped) for i in order]
    return found


def best_shifts(
    pair: SpectrumPair, matrices: Float[Tensor, "h 3 3"]
) -> tuple[Float[Tensor, " h"], Float[Tensor, "h 3"]]:
    """Highest correlation over a grid of shifts, and the shift in pixels."""
    size = _COARSE_GRID
    product = pair.reference * pair.turned(matrices).conj()
    x, y, z = pair.frequencies.long().unbind(-1)
    # irfftn adds the mates of x > 0 by itself; on x = 0 only one of each pair is there
    product = torch.where(x == 0, 2 * product, product)
    shape, device = (len(matrices), size, size, size // 2 + 1), product.device
    spectrum = torch.zeros(shape, dtype=torch.complex64, device=device)
    spectrum[:, z % size, y % size, x] = product
    correlation = volume_of_spectrum(spectrum, (size, size, size)).flatten(1)
    step = torch.fft.fftfreq(size, 1.0 / size, device=device)
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


def _all_refined(pair: SpectrumPair, starts: list[Placement], steps: int) -> list[Placement]:
    """Each on a thread of its own."""

    def on(some: slice) -> list[Placement]:
        return [refined(pair, start, steps) for start in starts[some]]

    return [one for part in in_blocks_on(pair.reference.device, on, len(starts), 1) for one in part]


def refined(pair: SpectrumPair, start: Placement, steps: int) -> Placement:
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
        gradient = (weighted @ pair.reference).real.double().cpu()
        normal = ((weighted * fading) @ jacobian.T).real.double().cpu()
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
