"""The physics on one page: how a pose and a volume predict an image, and how likely that is.

    x_k = C_k s_k(t) P_k(R) + noise,   P_k(R) = V(R^T (kx, ky, 0)),   s_k(t) = exp(-2 pi i k.t / d)

on images whitened by `particles.prepare`, so that noise has unit variance. Differentiable with
respect to rotations, shifts and volume, through the compiled kernels where they serve: networks
and gradient descent train through this. It is not the Gauss-Newton step, which wants curvature
and calls the kernel itself.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.fourier.disk import FourierDisk, moved
from cryospin.fourier.image_batch import ImageBatch
from cryospin.kernels import (
    OVERSAMPLING,
    insert_slices,
    pose_losses,
    pose_normal_equations,
    slice_volume,
)
from cryospin.kernels.dispatch import fit_compiled


def predict(
    volume: Complex[Tensor, "z y x"],
    ctf: Float[Tensor, "p K"],
    rotations: Float[Tensor, "p 3 3"],
    shifts_pixel: Float[Tensor, "p 2"],
    disk: FourierDisk,
    oversampling: int = OVERSAMPLING,
) -> Complex[Tensor, "p k"]:
    """The noiseless image C_k s_k(t) P_k(R)."""
    slices = slice_volume(volume, rotations, disk, oversampling)
    return ctf[:, : len(disk)] * moved(slices, shifts_pixel, disk)


def slices_negative_log_likelihood(
    slices: Complex[Tensor, "p k"],
    images: ImageBatch,
    shifts_pixel: Float[Tensor, "p 2"],
    image_index: Int[Tensor, " p"] | None = None,
) -> Float[Tensor, " p"]:
    """The same likelihood for projections P_k(R) that come from elsewhere, as from a network."""
    if image_index is not None:
        images = images.select(image_index)
    predicted = images.ctf * moved(slices, shifts_pixel, images.disk)
    residual = images.coefficients - predicted
    return torch.view_as_real(residual).square().sum(dim=(-2, -1))


def negative_log_likelihood(
    volume: Complex[Tensor, "z y x"],
    images: ImageBatch,
    rotations: Float[Tensor, "p 3 3"],
    shifts_pixel: Float[Tensor, "p 2"],
    image_index: Int[Tensor, " p"] | None = None,
    oversampling: int = OVERSAMPLING,
) -> Float[Tensor, " p"]:
    """sum_k |x_k - C_k s_k(t) P_k(R)|^2 for each pose p of image `image_index[p]`.

    CryoSPIN Eq. 3 for whitened images, up to a constant. The gradient for rotations is the one
    along SO(3) where the kernels compute it: equal to the ambient one for whatever keeps R a
    rotation. Images and CTF get none.
    """
    wanted = torch.is_grad_enabled() and any(
        tensor.requires_grad for tensor in (volume, rotations, shifts_pixel)
    )
    if not wanted:
        # the kernels take nothing that wants a gradient
        volume, rotations, shifts_pixel = volume.detach(), rotations.detach(), shifts_pixel.detach()
    elif fit_compiled(volume, images.coefficients, images.ctf, rotations, shifts_pixel):
        return _Likelihood.apply(volume, images, rotations, shifts_pixel, image_index, oversampling)
    return pose_losses(volume, images, rotations, shifts_pixel, image_index, oversampling)


def left_gradient(
    ambient: Float[Tensor, "p 3 3"], rotations: Float[Tensor, "p 3 3"]
) -> Float[Tensor, "p 3"]:
    """Gradient for a left turn exp([w]) R at w = 0 from the gradient G for R's nine numbers:
    g_i = <G, [e_i] R>."""
    product = ambient @ rotations.mT
    twice = product - product.mT
    return torch.stack([twice[:, 2, 1], twice[:, 0, 2], twice[:, 1, 0]], dim=-1)


def ambient_gradient(
    left: Float[Tensor, "p 3"], rotations: Float[Tensor, "p 3 3"]
) -> Float[Tensor, "p 3 3"]:
    """Inverse of `left_gradient`: G = 1/2 [g] R, the tangent one with <G, [w] R> = g.w."""
    columns = 0.5 * left[:, :, None].expand(-1, -1, 3)
    return torch.linalg.cross(columns, rotations, dim=1)


class _Likelihood(torch.autograd.Function):
    """`negative_log_likelihood` through the compiled kernels; only what is wanted is computed."""

    @staticmethod
    def forward(
        ctx: Any,
        volume: Tensor,
        images: ImageBatch,
        rotations: Tensor,
        shifts_pixel: Tensor,
        image_index: Tensor | None,
        oversampling: int,
    ) -> Tensor:
        volume, rotations, shifts_pixel = volume.detach(), rotations.detach(), shifts_pixel.detach()
        gradient = None
        arguments = (volume, images, rotations, shifts_pixel, image_index, oversampling)
        if ctx.needs_input_grad[2] or ctx.needs_input_grad[3]:
            loss, gradient, _ = pose_normal_equations(*arguments)
        else:
            loss = pose_losses(*arguments)
        ctx.save_for_backward(volume, rotations, shifts_pixel, gradient, image_index)
        ctx.images, ctx.oversampling = images, oversampling
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        volume, rotations, shifts_pixel, gradient, image_index = ctx.saved_tensors
        for_volume = for_rotations = for_shifts = None
        if ctx.needs_input_grad[0]:
            where = (rotations, shifts_pixel, image_index, ctx.oversampling)
            for_volume = _volume_gradient(outer, volume, ctx.images, *where)
        if gradient is not None:
            scaled = outer[:, None] * gradient
            for_rotations = ambient_gradient(scaled[:, :3], rotations)
            for_shifts = scaled[:, 3:]
        return for_volume, None, for_rotations, for_shifts, None, None


def _volume_gradient(
    outer: Tensor,
    volume: Tensor,
    images: ImageBatch,
    rotations: Tensor,
    shifts_pixel: Tensor,
    image_index: Tensor | None,
    oversampling: int,
) -> Tensor:
    """-2 C s* (x - C s P), spread by the adjoint of slicing (which conjugates at Friedel mates).

    For the array as it is stored: the plane x = 0 holds both mates, each with its own share.
    """
    if image_index is not None:
        images = images.select(image_index)
    ctf, disk = images.ctf, images.disk
    slices = slice_volume(volume, rotations, disk, oversampling)
    # |s| = 1: moving the image back leaves the residual C (s* x - C P)
    residual = ctf * (moved(images.coefficients, -shifts_pixel, disk) - ctf * slices)
    values = (-2 * outer)[:, None] * residual
    margin = volume.shape[-1] - 1
    return insert_slices(values, ctf, rotations, disk, margin, oversampling)[0]
