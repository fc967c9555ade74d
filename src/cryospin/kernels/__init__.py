"""The five kernels everything else is built on.

| kernel | does |
|---|---|
| `slice_volume` | central slices of an oversampled Fourier volume |
| `insert_slices` | its exact adjoint, with weights: numerator and denominator |
| `pose_normal_equations` | loss, gradient and Gauss-Newton matrix of each pose |
| `grid_weights` | the E-step over a grid of poses, and the sums its M-step needs |
| `grid_peaks` | the best poses of a grid |

`reference` is the plain torch twin (any device, any precision, differentiable); `cpu` is
numba, `cuda` Triton. Tests hold them together. `dispatch` chooses.

A Fourier volume is a complex array (2m+1, 2m+1, m+1) over (z, y, x >= 0), frequency 0 at
[m, m, 0], holding the map's centred transform on a grid `oversampling` times finer than the
box's. Frequencies with x < 0 are the conjugates of their Friedel mates.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import numpy as np
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.image_batch import ImageBatch
from cryospin.kernels.dispatch import twin_of

Portion = tuple[Complex[Tensor, "n k"], Float[Tensor, "n k"], Float[Tensor, "n 3 3"]]
"""Slices' values, their weights and rotations."""

OVERSAMPLING = 2
"""Grid refinement of Fourier volumes: 2 keeps trilinear interpolation accurate."""


def margin_for(radius: float, oversampling: int = OVERSAMPLING) -> int:
    """Half-width m of the Fourier volume that slices of `radius` stay inside of."""
    return int(np.ceil(radius * oversampling)) + 1


def _check(volume_margin: int, disk: FourierDisk, oversampling: int) -> None:
    if volume_margin < margin_for(disk.radius, oversampling):
        raise ValueError(
            f"a Fourier volume of margin {volume_margin} cannot hold slices of radius "
            f"{disk.radius} at oversampling {oversampling}"
        )


def slice_volume(
    volume: Complex[Tensor, "z y x"],
    rotations: Float[Tensor, "n 3 3"],
    disk: FourierDisk,
    oversampling: int = OVERSAMPLING,
) -> Complex[Tensor, "n k"]:
    """Read central slices of a Fourier volume by trilinear interpolation: forward projection.

    Parameters
    ----------
    volume : Tensor
        (2m+1, 2m+1, m+1) complex, m at least `margin_for` of the disk's radius.
    rotations : Tensor
        (n, 3, 3). The coefficient (kx, ky) of a slice is read at R^T (kx, ky, 0).
    disk : FourierDisk
        The frequencies of a slice.
    oversampling : int
        Of the volume's grid against the box.

    Returns
    -------
    Tensor
        (n, k) complex, k the length of the disk.

    Raises
    ------
    ValueError
        The volume is too small for the disk.
    """
    _check(volume.shape[-1] - 1, disk, oversampling)
    twin = twin_of(volume, rotations)
    return twin.slice_volume(volume, rotations, disk, oversampling)


def insert_slices(
    values: Complex[Tensor, "n k"],
    weights: Float[Tensor, "n k"],
    rotations: Float[Tensor, "n 3 3"],
    disk: FourierDisk,
    margin: int,
    oversampling: int = OVERSAMPLING,
) -> tuple[Complex[Tensor, "z y x"], Float[Tensor, "z y x"]]:
    """Insert slices into a Fourier volume: back-projection, the exact adjoint of `slice_volume`.

    The plane x = 0 stays one-sided; `volumes.gridded` completes it by Friedel's law. On the CPU
    sums run in the order of the particles, whatever the number of threads.

    Parameters
    ----------
    values : Tensor
        (n, k) complex: slices, already multiplied with their weights.
    weights : Tensor
        (n, k).
    rotations : Tensor
        (n, 3, 3).
    disk : FourierDisk
        The frequencies of a slice.
    margin : int
        Half-width m of the volume: `margin_for` of the disk's radius.
    oversampling : int
        Of the volume's grid against the box.

    Returns
    -------
    numerator, denominator : Tensor
        Sums of values and of weights, (2m+1, 2m+1, m+1).

    Raises
    ------
    ValueError
        The margin is too small for the disk.
    """
    return insert_portions([(values, weights, rotations)], disk, margin, oversampling)


def insert_portions(
    portions: Iterable[Portion], disk: FourierDisk, margin: int, oversampling: int = OVERSAMPLING
) -> tuple[Complex[Tensor, "z y x"], Float[Tensor, "z y x"]]:
    """`insert_slices` of all portions (at least one), into one volume, each made when its turn
    comes: what a portion takes beside it is not a volume of its own."""
    _check(margin, disk, oversampling)
    portions = iter(portions)
    first = next(portions)
    twin = twin_of(*first)
    return twin.insert_portions(chain([first], portions), disk, margin, oversampling)


def pose_normal_equations(
    volume: Complex[Tensor, "z y x"],
    images: ImageBatch,
    rotations: Float[Tensor, "p 3 3"],
    shifts_pixel: Float[Tensor, "p 2"],
    image_index: Int[Tensor, " p"] | None = None,
    oversampling: int = OVERSAMPLING,
) -> tuple[Float[Tensor, " p"], Float[Tensor, "p 5"], Float[Tensor, "p 5 5"]]:
    """Compute the loss of poses, its gradient and its Gauss-Newton Hessian.

    The loss is the sum over coefficients of abs(x - C s(t) P(R))^2 on whitened images: the
    negative log-likelihood up to a constant. The five parameters are a left perturbation of the
    rotation, R' = exp([w]) R with w in radians in the view frame, then the shift (x, y) in
    pixels. The Newton step is -solve(hessian, gradient).

    Parameters
    ----------
    volume : Tensor
        Fourier volume, as for `slice_volume`.
    images : ImageBatch
        n whitened images with their CTFs, on the frequencies that count.
    rotations : Tensor
        (p, 3, 3).
    shifts_pixel : Tensor
        (p, 2).
    image_index : Tensor, optional
        (p,): pose p is of image `image_index[p]`. By default pose p is of image p.
    oversampling : int
        Of the volume's grid against the box.

    Returns
    -------
    loss, gradient, hessian : Tensor
        (p,), (p, 5) and (p, 5, 5).

    Raises
    ------
    ValueError
        The volume is too small for the images' disk.
    """
    x, ctf, disk = images.coefficients, images.ctf, images.disk
    _check(volume.shape[-1] - 1, disk, oversampling)
    twin = twin_of(volume, x, ctf, rotations, shifts_pixel)
    return twin.pose_normal_equations(
        volume, x, ctf, rotations, shifts_pixel, disk, image_index, oversampling
    )


def pose_losses(
    volume: Complex[Tensor, "z y x"],
    images: ImageBatch,
    rotations: Float[Tensor, "p 3 3"],
    shifts_pixel: Float[Tensor, "p 2"],
    image_index: Int[Tensor, " p"] | None = None,
    oversampling: int = OVERSAMPLING,
) -> Float[Tensor, " p"]:
    """The loss of `pose_normal_equations` alone, for scoring many hypotheses."""
    x, ctf, disk = images.coefficients, images.ctf, images.disk
    _check(volume.shape[-1] - 1, disk, oversampling)
    twin = twin_of(volume, x, ctf, rotations, shifts_pixel)
    return twin.pose_losses(
        volume, x, ctf, rotations, shifts_pixel, disk, image_index, oversampling
    )


def grid_weights(
    slices: Complex[Tensor, "g k"],
    images: ImageBatch,
    shifts_pixel: Float[Tensor, "t 2"],
    temperature: float,
    class_prior: Float[Tensor, " c"] | None = None,
) -> tuple[Complex[Tensor, "g k"], Float[Tensor, "g k"], Float[Tensor, " b"], Float[Tensor, "b c"]]:
    """Posterior weights of every image over (half-turned copy of a slice, slice, shift), and what
    they weigh: each slice's numerator sum w C x s* and denominator sum w C^2, its half-turned
    copies' turned back into it; each image's log evidence, of the mean over the grid; and its
    weight in each class.

    Weights are likelihood^(1/temperature), normalised per image. Half-turns are those of
    `rotations.grid.VIEW_HALF_TURNS`. class_prior: where the slices are of c maps one after the
    other, as many of each, the probability of each map; None: of one map.
    """
    x, ctf = images.coefficients, images.ctf
    twin = twin_of(slices, x, ctf, shifts_pixel)
    found: tuple[Tensor, Tensor, Tensor, Tensor] = twin.grid_weights(
        slices, x, ctf, shifts_pixel, images.disk, temperature, class_prior
    )
    return found


def grid_peaks(
    slices: Complex[Tensor, "g k"],
    images: ImageBatch,
    shifts_pixel: Float[Tensor, "t 2"],
    quaternions: Float[Tensor, "4 g 4"],
    near: float,
    hypotheses: int,
) -> Int[Tensor, "b h 3"]:
    """(half-turn, slice, shift) of the best poses of each image over the same grid, best first.

    quaternions: of every half-turned slice. near: the cosine of half the angle that two poses of
    one image are apart at least.
    """
    x, ctf = images.coefficients, images.ctf
    twin = twin_of(slices, x, ctf, shifts_pixel)
    found: Tensor = twin.grid_peaks(
        slices, x, ctf, shifts_pixel, images.disk, quaternions, near, hypotheses
    )
    return found
