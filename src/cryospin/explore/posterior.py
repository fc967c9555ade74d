"""Posterior over a whole grid of orientations and shifts.

For whitened images the log-likelihood of image i at orientation g and shift t is, up to a
constant, 2 Re<C x s_t*, P_g> - <C^2, |P_g|^2>: two matrix products (the second shared by all
shifts). `fourier.parity` makes each base orientation stand for four.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.fourier.image_batch import ImageBatch
from cryospin.kernels import grid_peaks, grid_weights
from cryospin.poses import PoseHypotheses
from cryospin.rotations.grid import OrientationGrid, quaternions_of, view_half_turns


@dataclass(frozen=True)
class GridPosterior:
    """What the E-step of one batch leaves.

    numerator, denominator: sums over images, shifts and half-turns for each base slice.
    evidence: log of the mean likelihood over the grid, of each image.
    class_weight: of each image in each class; 1 where there is one.
    """

    numerator: Complex[Tensor, "g k"]
    denominator: Float[Tensor, "g k"]
    evidence: Float[Tensor, " b"]
    class_weight: Float[Tensor, "b c"]


def grid_posterior(
    slices: Complex[Tensor, "g k"],
    images: ImageBatch,
    shifts_pixel: Float[Tensor, "t 2"],
    temperature: float,
    class_prior: Float[Tensor, " c"] | None = None,
) -> GridPosterior:
    """E-step of a batch over all (half-turn, g, t), and the sums its M-step needs.

    Weights are likelihood^(1/temperature), normalised per image. class_prior: the probability of
    each of several maps, whose slices follow one another.
    """
    return GridPosterior(*grid_weights(slices, images, shifts_pixel, temperature, class_prior))


def best_hypotheses(
    grid: OrientationGrid,
    slices: Complex[Tensor, "g k"],
    images: ImageBatch,
    shifts_pixel: Float[Tensor, "t 2"],
    hypotheses: int,
) -> PoseHypotheses:
    """The best separate orientations of each image, best first, each at its best shift: peaks of
    the likelihood over the grid, at least 1.8 grid spacings apart."""
    turned = view_half_turns(grid.base.device)[:, None] @ grid.base
    near = float(np.cos(0.5 * np.radians(1.8 * grid.spacing_degrees)))
    found = grid_peaks(slices, images, shifts_pixel, quaternions_of(turned), near, hypotheses)
    half_turn, base, shift = found.unbind(dim=-1)
    return PoseHypotheses(grid.rotations(half_turn, base), shifts_pixel[shift])
