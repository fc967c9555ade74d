"""Many hypotheses per image: the heads that make them and the rule that trains them.

Winner takes all (CryoSPIN, section 4.1): each head may specialise in part of the poses, and
an image whose posterior has several modes keeps several candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cryospin.rotations.s2s2 import s2s2_to_rotation

Likelihood = Callable[
    [Float[Tensor, "p 3 3"], Float[Tensor, "p 2"], Int[Tensor, " p"]], Float[Tensor, " p"]
]
"""Negative log-likelihood of each pose (rotation, shift in pixels) of image `index[p]`."""


class PoseHeads(nn.Module):
    """M separate fully connected networks from features to six numbers and a translation.

    The rotation is read off in S2S2 form; the translation is tanh, within the shift range.
    Weights of all heads lie in one tensor per layer, so that they are one batched product.
    """

    def __init__(
        self,
        features: int,
        heads: int,
        shift_range_pixel: float,
        generator: torch.Generator,
        *,
        widths: tuple[int, ...] = (512, 256),
    ):
        super().__init__()
        self.heads, self.shift_range_pixel = heads, shift_range_pixel
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        sizes = (features, *widths, 8)
        for inner, outer in zip(sizes[:-1], sizes[1:], strict=True):
            bound = inner**-0.5  # as torch's own linear layers
            for target, shape in (
                (self.weights, (heads, inner, outer)),
                (self.biases, (heads, 1, outer)),
            ):
                values = torch.empty(shape).uniform_(-bound, bound, generator=generator)
                target.append(nn.Parameter(values))

    def forward(
        self, features: Float[Tensor, "b f"]
    ) -> tuple[Float[Tensor, "b m 3 3"], Float[Tensor, "b m 2"]]:
        values = features.expand(self.heads, -1, -1)
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = torch.baddbmm(bias, values, weight)
            if layer < last:
                values = values.relu()
        values = values.transpose(0, 1)
        shifts = self.shift_range_pixel * values[..., 6:].tanh()
        return s2s2_to_rotation(values[..., :6]), shifts


@dataclass(frozen=True)
class Winners:
    """The best candidate of each image. loss: differentiable, through the winner alone."""

    loss: Float[Tensor, " b"]
    head: Int[Tensor, " b"]


def winner_takes_all(
    likelihood: Likelihood,
    rotations: Float[Tensor, "b m 3 3"],
    shifts_pixel: Float[Tensor, "b m 2"],
) -> Winners:
    """min over heads of the negative log-likelihood (CryoSPIN Eq. 5).

    All candidates are scored without gradient; only the winners are differentiated, which is
    the gradient of the minimum at a fraction of its price. One candidate has nothing to win.
    """
    rows = torch.arange(len(rotations), device=rotations.device)
    if rotations.shape[1] == 1:
        loss = likelihood(rotations[:, 0], shifts_pixel[:, 0], rows)
        return Winners(loss, torch.zeros_like(rows))
    losses = candidate_losses(likelihood, rotations, shifts_pixel)
    # a candidate that scores NaN never wins while another does not
    head = losses.nan_to_num(nan=torch.inf).argmin(dim=1)
    if torch.is_grad_enabled():
        loss = likelihood(rotations[rows, head], shifts_pixel[rows, head], rows)
    else:
        loss = losses[rows, head]
    return Winners(loss, head)


def candidate_losses(
    likelihood: Likelihood,
    rotations: Float[Tensor, "b m 3 3"],
    shifts_pixel: Float[Tensor, "b m 2"],
) -> Float[Tensor, "b m"]:
    """Negative log-likelihood of every candidate, without gradient."""
    images, heads = rotations.shape[:2]
    index = torch.arange(images, device=rotations.device).repeat_interleave(heads)
    with torch.no_grad():
        losses = likelihood(rotations.flatten(0, 1), shifts_pixel.flatten(0, 1), index)
    return losses.view(images, heads)


def head_usage(head: Int[Tensor, " n"], heads: int) -> Float[Tensor, " m"]:
    """Share of the images each head won."""
    return torch.bincount(head, minlength=heads).float() / max(len(head), 1)
