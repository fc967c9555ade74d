"""The search behind `align_maps`: an exhaustive coarse grid, then Gauss-Newton up the shells."""

from __future__ import annotations

from collections.abc import Sequence
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
_REFINED_TOGETHER = 2
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
        moved = shells.moved(_best_distinct(placements)[:1])
        curve = shell_correlations(shells.reference, moved[0], shells.shells)
        if curve[inner + 1 :].mean() < _NOISE:
            break
    return refined(shells, _best_distinct(placements)[:1], steps=12)[0]


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
    """On several threads, or together on a card."""

    def on(some: slice) -> list[Placement]:
        return refined(pair, starts[some], steps)

    blocks = in_blocks_on(pair.reference.device, on, len(starts), _REFINED_TOGETHER)
    return [placement for block in blocks for placement in block]


def refined(pair: SpectrumPair, starts: Sequence[Placement], steps: int) -> list[Placement]:
    """Gauss-Newton (Levenberg-Marquardt) on the correlation weighted by FSC / (1 - FSC^2).

    That weight makes the correlation a log-likelihood (Gaussian signal and noise); it is
    taken from the start and held, so that steps can be compared. Each start by itself.
    """
    placements = list(starts)
    moved = pair.moved(placements)
    curve = shell_correlations(pair.reference, moved, pair.shells).clamp(0.0, 0.99)
    weight = (curve / (1.0 - curve**2))[:, pair.shells].float()
    fading = curve[:, pair.shells].float()  # noise has gradients too: only the signal's count
    score = _weighted(pair.reference, moved, weight)
    damping = torch.full_like(score, 1e-2)
    live = torch.arange(len(placements))
    for _ in range(steps):
        if len(live) == 0:
            break
        now = [placements[i] for i in live.tolist()]
        step = _step(pair, now, moved[live], weight[live], fading[live], damping[live])
        trials = _stepped(now, step)
        trial_moved = pair.moved(trials)
        trial_score = _weighted(pair.reference, trial_moved, weight[live])
        gain = trial_score - score[live]
        better = gain > 0
        for i in torch.nonzero(better).flatten().tolist():
            placements[int(live[i])] = trials[i]
        moved[live[better]] = trial_moved[better]
        score[live[better]] = trial_score[better]
        damping[live] *= torch.where(better, 0.1, 10.0)
        ended = torch.where(better, gain < 1e-5 * trial_score.abs(), damping[live] > 1e3)
        live = live[~ended]
    final = shell_correlations(pair.reference, moved, pair.shells)
    scores = log_likelihood_ratio(final, pair.shells).tolist()
    return [replace(each, score=s) for each, s in zip(placements, scores, strict=True)]


def _weighted(
    reference: Complex[Tensor, " k"], moved: Complex[Tensor, "h k"], weight: Float[Tensor, "h k"]
) -> Float[Tensor, " h"]:
    """On the CPU."""
    return ((reference.conj() * moved).real * weight).double().sum(dim=-1).cpu()


def _step(
    pair: SpectrumPair,
    placements: Sequence[Placement],
    moved: Complex[Tensor, "h k"],
    weight: Float[Tensor, "h k"],
    fading: Float[Tensor, "h k"],
    damping: Float[Tensor, " h"],
) -> Float[Tensor, "h 6"]:
    """What each placement should be moved by; on the CPU."""
    jacobian = _jacobian(pair, placements, moved)
    weighted = jacobian.conj() * weight[:, None]
    gradient = (weighted @ pair.reference).real.double().cpu()
    normal = ((weighted * fading[:, None]) @ jacobian.mT).real.double().cpu()
    diagonal = normal.diagonal(dim1=-2, dim2=-1).clamp_min(1e-12)
    return torch.linalg.solve(normal + torch.diag_embed(damping[:, None] * diagonal), gradient)


def _jacobian(
    pair: SpectrumPair, placements: Sequence[Placement], moved: Complex[Tensor, "h k"]
) -> Complex[Tensor, "h 6 k"]:
    """Derivatives by a turn of the moving map in the reference's frame (rad), and by shift."""
    # a one-sided difference moves the optimum by half its step; far above float32's noise
    step = 0.005 / float(pair.shells[-1])
    rotations = roma.rotvec_to_rotmat(step * torch.eye(3, dtype=torch.float64))
    # (exp(step) Q)^T = Q^T exp(step)^T
    matrices = torch.stack([each.matrix for each in placements])[:, None] @ rotations.mT
    shifts = torch.stack([each.shift_pixel for each in placements])
    turned = pair.turned(matrices.flatten(0, 1)).unflatten(0, (-1, 3))
    turned = turned * pair.phases(shifts)[:, None]
    by_shift = pair.frequencies.T * (-2j * np.pi / pair.box) * moved[:, None]
    return torch.cat([(turned - moved[:, None]) / step, by_shift], dim=1)


def _stepped(placements: Sequence[Placement], step: Float[Tensor, "h 6"]) -> list[Placement]:
    """exp(step[:3]) on the left of each rotation, the shift moved by step[3:] pixels."""
    turns = roma.rotvec_to_rotmat(step[:, :3])
    return [
        replace(
            each,
            rotation=turn @ each.rotation,
            shift_pixel=each.shift_pixel + moved,
        )
        for each, turn, moved in zip(placements, turns, step[:, 3:], strict=True)
    ]
