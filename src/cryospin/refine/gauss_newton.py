"""Each particle's own rotation and shift, by damped Gauss-Newton on its likelihood.

Five parameters, one pass over the coefficients for loss, gradient and Hessian: no learning
rate, a handful of steps (Levenberg 1944, Marquardt 1963 for the damping).
"""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.fourier.image_batch import ImageBatch
from cryospin.kernels import pose_losses, pose_normal_equations
from cryospin.poses import Assignment


@dataclass(frozen=True)
class GaussNewton:
    """steps: evaluations after the first; a rejected step costs one too.
    largest_turn_radians, largest_move_pixel: a step is shortened to these.
    """

    steps: int = 5
    damping: float = 1e-2
    largest_turn_radians: float = 0.2
    largest_move_pixel: float = 1.0

    def refine(
        self,
        volume: Complex[Tensor, "z y x"],
        images: ImageBatch,
        rotations: Float[Tensor, "p 3 3"],
        shifts_pixel: Float[Tensor, "p 2"],
        image_index: Int[Tensor, " p"] | None = None,
    ) -> Assignment:
        """Minimise the loss of each pose, of image `image_index[p]`, from where it is; no pose
        ends worse than it began. Of rivals nothing is known: each is sure."""
        data = volume, images
        if not self.steps:
            loss = pose_losses(*data, rotations, shifts_pixel, image_index)
            return Assignment(rotations, shifts_pixel, torch.ones_like(loss), loss)
        loss, gradient, hessian = pose_normal_equations(*data, rotations, shifts_pixel, image_index)
        damping = torch.full_like(loss, self.damping)
        for left in reversed(range(self.steps)):
            step = self._step(gradient, hessian, damping)
            turned = roma.rotvec_to_rotmat(step[:, :3]) @ rotations
            moved = shifts_pixel + step[:, 3:]
            if left:
                new_loss, *derivatives = pose_normal_equations(*data, turned, moved, image_index)
            else:  # no step follows from the last one's derivatives
                new_loss = pose_losses(*data, turned, moved, image_index)
            better = new_loss < loss
            rotations = torch.where(better[:, None, None], turned, rotations)
            shifts_pixel = torch.where(better[:, None], moved, shifts_pixel)
            loss = torch.where(better, new_loss, loss)
            if left:
                gradient = torch.where(better[:, None], derivatives[0], gradient)
                hessian = torch.where(better[:, None, None], derivatives[1], hessian)
                damping = torch.where(better, damping * 0.2, damping * 8.0)
        return Assignment(_orthonormal(rotations), shifts_pixel, torch.ones_like(loss), loss)

    def _step(self, gradient: Tensor, hessian: Tensor, damping: Tensor) -> Tensor:
        """-(H + damping diag H)^-1 g in float64, shortened to the trust limits."""
        matrix, diagonal = hessian.double(), hessian.diagonal(dim1=-2, dim2=-1).double()
        floor = 1e-6 * diagonal.mean(dim=-1, keepdim=True) + 1e-12
        extra = damping.double()[:, None] * diagonal + floor
        # damped matrices are not singular: `solve` would ask, and wait for a card's answer
        step = -torch.linalg.solve_ex(matrix + torch.diag_embed(extra), gradient.double())[0]
        turn = step[:, :3].norm(dim=1) / self.largest_turn_radians
        move = step[:, 3:].norm(dim=1) / self.largest_move_pixel
        shorten = torch.maximum(turn, move).clamp_min(1.0)
        return (step / shorten[:, None]).to(gradient.dtype)


def _orthonormal(rotations: Tensor) -> Tensor:
    """Wash out the rounding of many small turns: a Newton step towards the nearest rotation,
    which squares the error."""
    near = rotations.double()
    return (1.5 * near - 0.5 * near @ near.mT @ near).to(rotations.dtype)
