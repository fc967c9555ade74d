"""Plain torch twins of the kernels: any device, any precision, differentiable.

Written to be read and to be right; the speed is elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from cryospin.fourier.disk import FourierDisk, moved, shift_phases
from cryospin.fourier.parity import ParityFold
from cryospin.kernels.classes import class_log_odds, class_sums

# of the parity blocks ee, oo, oe, eo in the inner product with each half-turned slice
_SIGNS = ((1, 1, 1, 1), (1, 1, -1, -1), (1, -1, -1, 1), (1, -1, 1, -1))


def _frequencies(disk: FourierDisk, like: Tensor) -> Tensor:
    """(k, 3) view-frame frequencies (kx, ky, 0)."""
    kx, ky = disk.frequencies(like.device, like.dtype)
    return torch.stack([kx, ky, torch.zeros_like(kx)], dim=-1)


def _corners(
    rotations: Tensor, disk: FourierDisk, margin: int, oversampling: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Flat indices (8, n, k) of the grid points around each coefficient, their trilinear
    weights (8, n, k), and whether the coefficient was read at its Friedel mate (n, k)."""
    points = oversampling * _frequencies(disk, rotations) @ rotations
    flipped = points[..., 0] < 0
    points = torch.where(flipped[..., None], -points, points)
    floor = torch.floor(points.detach())
    fraction = points - floor
    base = floor.long()
    size = 2 * margin + 1
    indices, weights = [], []
    for corner in range(8):
        dx, dy, dz = corner & 1, corner >> 1 & 1, corner >> 2 & 1
        x, y, z = base[..., 0] + dx, base[..., 1] + dy + margin, base[..., 2] + dz + margin
        indices.append((z * size + y) * (margin + 1) + x)
        weight = torch.ones_like(fraction[..., 0])
        for axis, d in enumerate((dx, dy, dz)):
            weight = weight * (fraction[..., axis] if d else 1 - fraction[..., axis])
        weights.append(weight)
    return torch.stack(indices), torch.stack(weights), flipped


def slice_volume(volume: Tensor, rotations: Tensor, disk: FourierDisk, oversampling: int) -> Tensor:
    indices, weights, flipped = _corners(rotations, disk, volume.shape[-1] - 1, oversampling)
    values = (volume.reshape(-1)[indices] * weights).sum(dim=0)
    return torch.where(flipped, values.conj(), values)


def insert_portions(
    portions: Iterable[tuple[Tensor, Tensor, Tensor]],
    disk: FourierDisk,
    margin: int,
    oversampling: int,
) -> tuple[Tensor, Tensor]:
    parts = [insert_slices(*portion, disk, margin, oversampling) for portion in portions]
    numerators, denominators = zip(*parts, strict=True)
    return sum(numerators[1:], numerators[0]), sum(denominators[1:], denominators[0])


def insert_slices(
    values: Tensor,
    weights: Tensor,
    rotations: Tensor,
    disk: FourierDisk,
    margin: int,
    oversampling: int,
) -> tuple[Tensor, Tensor]:
    indices, trilinear, flipped = _corners(rotations, disk, margin, oversampling)
    shape = (2 * margin + 1, 2 * margin + 1, margin + 1)
    read = torch.where(flipped, values.conj(), values)
    numerator = torch.zeros(shape, dtype=values.dtype, device=values.device)
    denominator = torch.zeros(shape, dtype=weights.dtype, device=values.device)
    flat = indices.reshape(-1)
    numerator.view(-1).index_add_(0, flat, (trilinear * read).reshape(-1).to(values.dtype))
    denominator.view(-1).index_add_(0, flat, (trilinear * weights).reshape(-1).to(weights.dtype))
    return numerator, denominator


def predict(
    volume: Tensor,
    ctf: Tensor,
    rotations: Tensor,
    shifts_pixel: Tensor,
    disk: FourierDisk,
    oversampling: int,
) -> Tensor:
    """The forward model: C_k s_k(t) P_k(R), (p, k)."""
    slices = slice_volume(volume, rotations, disk, oversampling)
    return ctf * shift_phases(shifts_pixel, disk) * slices


def pose_losses(
    volume: Tensor,
    images: Tensor,
    ctf: Tensor,
    rotations: Tensor,
    shifts_pixel: Tensor,
    disk: FourierDisk,
    image_index: Tensor | None,
    oversampling: int,
) -> Tensor:
    images, ctf = images[..., : len(disk)], ctf[..., : len(disk)]
    if image_index is not None:
        images, ctf = images[image_index], ctf[image_index]
    model = predict(volume, ctf, rotations, shifts_pixel, disk, oversampling)
    return (images - model).abs().square().sum(dim=-1)


def pose_normal_equations(
    volume: Tensor,
    images: Tensor,
    ctf: Tensor,
    rotations: Tensor,
    shifts_pixel: Tensor,
    disk: FourierDisk,
    image_index: Tensor | None,
    oversampling: int,
) -> tuple[Tensor, Tensor, Tensor]:
    images, ctf = images[..., : len(disk)], ctf[..., : len(disk)]
    if image_index is not None:
        images, ctf = images[image_index], ctf[image_index]

    def model(parameters: Tensor) -> Tensor:
        # exp([w]) to first order is all its derivative at w = 0 needs
        w, generators = parameters[:, :3], _so3_generators(rotations)
        turned = rotations + torch.einsum("pi,iab,pbc->pac", w, generators, rotations)
        shifts = shifts_pixel + parameters[:, 3:]
        return predict(volume, ctf, turned, shifts, disk, oversampling)

    zero = torch.zeros(len(rotations), 5, dtype=rotations.dtype, device=rotations.device)
    columns = []
    for axis in range(5):
        tangent = torch.zeros_like(zero)
        tangent[:, axis] = 1
        columns.append(torch.func.jvp(model, (zero,), (tangent,))[1])
    jacobian = torch.stack(columns, dim=-1)
    residual = images - model(zero)
    gradient = -2 * torch.einsum("pkj,pk->pj", jacobian.conj(), residual).real
    hessian = 2 * torch.einsum("pki,pkj->pij", jacobian.conj(), jacobian).real
    return residual.abs().square().sum(dim=-1), gradient, hessian


def _so3_generators(like: Tensor) -> Tensor:
    """[e_i] for the three axes: [w] v = w x v."""
    generators = torch.zeros(3, 3, 3, dtype=like.dtype, device=like.device)
    for axis, (row, column) in enumerate(((2, 1), (0, 2), (1, 0))):
        generators[axis, row, column] = 1
        generators[axis, column, row] = -1
    return generators


def grid_weights(
    slices: Tensor,
    images: Tensor,
    ctf: Tensor,
    shifts_pixel: Tensor,
    disk: FourierDisk,
    temperature: float,
    class_prior: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    fold = ParityFold.on(disk, slices.device)
    data, power = _image_blocks(images, ctf, shifts_pixel, disk, fold)
    prior = ctf.new_ones(1) if class_prior is None else class_prior
    scores = _grid_scores(slices, data, power, fold) / temperature
    scores = scores + class_log_odds(prior, len(slices))
    evidence = torch.logsumexp(scores.flatten(1), dim=1)
    weights = (scores - evidence[:, None, None, None]).exp()
    of_class = class_sums(weights.sum(dim=(1, 2)), len(prior))
    sums = []
    for block, values in enumerate(data):
        signs = torch.tensor([row[block] for row in _SIGNS]).to(weights)
        sums.append(torch.einsum("bvtg,v,btk->gk", weights, signs, values))
    even = torch.einsum("bvtg,bk->gk", weights, power[0])
    odd = torch.einsum("bvtg,v,bk->gk", weights, torch.tensor([1, 1, -1, -1]).to(weights), power[1])
    mean = evidence - math.log(scores[0].numel())
    return fold.unfold(*sums), fold.unfold_even(even, odd), mean, of_class


def grid_peaks(
    slices: Tensor,
    images: Tensor,
    ctf: Tensor,
    shifts_pixel: Tensor,
    disk: FourierDisk,
    quaternions: Tensor,
    near: float,
    hypotheses: int,
) -> Tensor:
    fold = ParityFold.on(disk, slices.device)
    scores = _grid_scores(slices, *_image_blocks(images, ctf, shifts_pixel, disk, fold), fold)
    values, shift = scores.max(dim=2)
    values, shift, where = values.flatten(1), shift.flatten(1), quaternions.flatten(0, 1)
    found = []
    for _ in range(hypotheses):
        best = values.argmax(dim=1)
        found.append(
            torch.stack(
                [
                    torch.div(best, len(slices), rounding_mode="floor"),
                    best % len(slices),
                    shift.gather(1, best[:, None])[:, 0],
                ],
                dim=-1,
            )
        )
        values = values.masked_fill((where[best] @ where.T).abs() > near, -torch.inf)
    return torch.stack(found, dim=1)


def _image_blocks(
    images: Tensor, ctf: Tensor, shifts_pixel: Tensor, disk: FourierDisk, fold: ParityFold
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Parity blocks of C x s* (four, each (b, t, k/2)) and of C^2 (two, (b, k/2))."""
    centred = moved((images * ctf)[:, None], -shifts_pixel, disk)
    return fold.fold(centred), fold.fold_even(ctf.square())


def _grid_scores(
    slices: Tensor, data: tuple[Tensor, ...], power: tuple[Tensor, ...], fold: ParityFold
) -> Tensor:
    """Log-likelihoods (b, half-turn, t, g), up to a constant."""
    products = [x @ p.T for x, p in zip(data, fold.fold(slices), strict=True)]
    of_power = fold.fold_even(slices.abs().square())
    even, odd = (c @ p.T for c, p in zip(power, of_power, strict=True))
    norms = torch.stack([even + odd, even + odd, even - odd, even - odd], dim=1)
    signs = torch.tensor(_SIGNS).to(norms)
    return 2 * torch.einsum("vp,pbtg->bvtg", signs, torch.stack(products)) - norms[:, :, None]
