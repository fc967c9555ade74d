"""Plain torch twins of the kernels: any device, any precision, differentiable.

Written to be read and to be right; the speed is elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from cryospin.fourier.disk import FourierDisk, shift_phases


def _frequencies(disk: FourierDisk, like: Tensor) -> Tensor:
    """(k, 3) view-frame frequencies (kx, ky, 0)."""
    kx = torch.as_tensor(disk.kx).to(like)
    return torch.stack([kx, torch.as_tensor(disk.ky).to(like), torch.zeros_like(kx)], dim=-1)


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
