"""What a winner learns: the Gauss-Newton step of its own pose, as a gradient for the encoder."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.imaging import ambient_gradient


def damped_step(
    gradient: Float[Tensor, "b 5"],
    hessian: Float[Tensor, "b 5 5"],
    free: int,
    share: float,
    longest: float,
) -> Float[Tensor, "b 5"]:
    """(H + damping)^-1 g of each image: minus the step its pose should make.

    free: 3 or 5 of the parameters may move. share: of each image's and of the mean curvature,
    which damps. longest: step, in radians and in pixels / 10.
    """
    hessian, gradient = hessian[:, :free, :free], gradient[:, :free]
    diagonal = hessian.diagonal(dim1=-2, dim2=-1)
    damping = share * (diagonal + diagonal.mean(dim=0)) + 1e-6
    # damped it has an inverse; `solve` would wait for a card to say so
    step = torch.linalg.solve_ex(hessian + torch.diag_embed(damping), gradient)[0]
    length = torch.maximum(step[:, :3].norm(dim=1), 0.1 * step[:, 3:].norm(dim=1))
    step = step / (length / longest).clamp_min(1.0)[:, None]
    return torch.nn.functional.pad(step, (0, 5 - free))


def inner_product(
    wanted: Float[Tensor, "b 5"], rotations: Float[Tensor, "b 3 3"], shifts: Float[Tensor, "b 2"]
) -> Float[Tensor, ""]:
    """A scalar whose gradient is `wanted`: (omega, tau) per image, the turn from the left.

    1/2 <[omega] R, dR> is omega . w for dR = [w] R, and d . tau for the shift.
    """
    tangent = ambient_gradient(wanted[:, :3], rotations.detach())
    return ((tangent * rotations).sum() + (wanted[:, 3:] * shifts).sum()) / len(wanted)
