"""The most alike lines of each pair of images, over all angles and relative shifts.

One matrix product per image against all later ones, a compiled scan for the largest element.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.pairs.lines import PolarLines
from cryospin.pairs.relations import CommonLines
from cryospin.parallel import in_blocks


def match_lines(
    lines: PolarLines,
    shift_range_pixel: float,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CommonLines:
    """The pair of rays of largest correlation for each two images; weights are correlations.

    shift_range_pixel: how far particles may be off their boxes' centres along each axis. Lines
        are compared at relative shifts out to twice that (few pairs are further apart), in steps
        of a quarter of the finest period.
    """
    count, angles, radii = lines.values.shape
    shifts = line_shifts(shift_range_pixel, float(lines.radii[-1]), lines.box)
    unit = lines.values / lines.values.abs().square().sum(dim=-1, keepdim=True).sqrt().clamp_min(
        1e-20
    )
    phase = shifts[:, None] * lines.radii * (-2.0 * np.pi / lines.box)
    phases = torch.polar(torch.ones_like(phase), phase)
    # rays in [0, pi), then those half a turn on, which are the conjugates
    rays = torch.cat([unit, unit.conj()], dim=1)
    columns = torch.view_as_real(rays.resolve_conj()).reshape(count * 2 * angles, 2 * radii)
    found = np.zeros((count, count, 4), dtype=np.float32)

    def on(rows: slice) -> None:
        i = rows.start
        moved = torch.view_as_real(unit[i] * phases[:, None]).reshape(-1, 2 * radii)
        scores = moved @ columns[(i + 1) * 2 * angles :].T
        _largest(scores.numpy(), len(shifts), angles, found[i, i + 1 :])

    for i, _ in enumerate(in_blocks(on, count - 1, 1)):
        progress(i + 1, count - 1)
    table = torch.from_numpy(found).double()
    step = np.pi / angles
    spacing = float(shifts[1] - shifts[0]) if len(shifts) > 1 else 0.0
    weights = table[..., 3].clamp_min(0.0)
    offsets = (table[..., 2] - len(shifts) // 2) * spacing
    upper = torch.ones(count, count).triu(1).bool()
    offsets = torch.where(upper, offsets, 0.0)
    return CommonLines(
        step * (table[..., 0] + table[..., 1].T),
        weights + weights.T,
        offsets - offsets.T,
    )


def line_shifts(shift_range_pixel: float, radius: float, box: int) -> Float[Tensor, " t"]:
    """Relative shifts that are compared, symmetric about 0."""
    farthest = 2.0 * shift_range_pixel
    steps = int(np.ceil(farthest / (box / (4.0 * radius))))
    return torch.linspace(-farthest, farthest, 2 * steps + 1) if steps else torch.zeros(1)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _largest(scores: np.ndarray, shifts: int, angles: int, found: np.ndarray) -> None:
    """Angle in either image (in steps), shift index and value of each pair's largest score.

    scores: (shifts * angles, pairs * 2 angles); found: (pairs, 4).
    """
    rays = 2 * angles
    for j in range(len(found)):
        first = j * rays
        best, at_row, at_ray = np.float32(-2.0), 0, 0
        for row in range(len(scores)):
            line = scores[row, first : first + rays]
            largest = np.float32(-2.0)
            for b in range(rays):
                largest = max(largest, line[b])
            if largest > best:
                best, at_row = largest, row
        for b in range(rays):
            if scores[at_row, first + b] == best:
                at_ray = b
        shift, a = at_row // angles, at_row % angles
        along = scores[at_row, first : first + rays]
        along_b = _vertex(along[(at_ray - 1) % rays], best, along[(at_ray + 1) % rays])
        before, after = (
            _ray(scores, shift, a - 1, at_ray, angles, first),
            _ray(scores, shift, a + 1, at_ray, angles, first),
        )
        found[j, 0] = a + _vertex(before, best, after)
        found[j, 1] = at_ray + along_b
        found[j, 2] = shift
        if 0 < shift < shifts - 1:
            column = first + at_ray
            lower, upper = scores[at_row - angles, column], scores[at_row + angles, column]
            found[j, 2] += _vertex(lower, best, upper)
        found[j, 3] = best


@numba.njit(cache=True, nogil=True)
def _ray(scores: np.ndarray, shift: int, a: int, b: int, angles: int, first: int) -> float:
    """Score at an angle that may have left [0, pi): both rays, and the shift, turn round."""
    if 0 <= a < angles:
        return scores[shift * angles + a, first + b]
    shifts = len(scores) // angles
    turned = (a % angles) + (shifts - 1 - shift) * angles
    return scores[turned, first + (b + angles) % (2 * angles)]


@numba.njit(cache=True, nogil=True)
def _vertex(before: float, middle: float, after: float) -> float:
    """Of the parabola through three points, the middle one the highest."""
    bend = before - 2.0 * middle + after
    if bend >= 0.0:
        return 0.0
    return max(-0.5, min(0.5, 0.5 * (before - after) / bend))
