"""What the network is asked for: probability near the true relation.

Two answers are as far apart as their S: where views nearly coincide many lines are right.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.pairs.network import PairNetworkShape
from cryospin.parallel import CPU

WIDTH = 0.2
"""Of an answer, as a length of S: about 8 degrees in the line and in the tilt."""


def directions(
    shape: PairNetworkShape, device: torch.device = CPU
) -> tuple[Float[Tensor, "b 2"], Float[Tensor, "b 2"]]:
    """c and p of every ray."""
    angle = torch.arange(2 * shape.lines, device=device) * (math.pi / shape.lines)
    c = torch.stack([angle.cos(), angle.sin()], dim=-1)
    return c, torch.stack([-c[:, 1], c[:, 0]], dim=-1)


def similarities(
    blocks: Float[Tensor, "p 2 2"], shape: PairNetworkShape
) -> Float[Tensor, "p t a b"]:
    """-|S(t, a, b) - S|^2 for every answer there is."""
    c, p = directions(shape, blocks.device)
    half = shape.lines
    along = torch.einsum("ax,pxy,by->pab", c[:half], blocks, c)[:, None]
    across = torch.einsum("ax,pxy,by->pab", p[:half], blocks, p)[:, None]
    cosine = shape.tilt_cosines.to(blocks.device)[:, None, None]
    own = blocks.square().sum(dim=(-1, -2))[:, None, None, None]
    return 2.0 * (along + cosine * across) - (1.0 + cosine.square()) - own


def surprise(
    logits: Float[Tensor, "p t a b"],
    blocks: Float[Tensor, "p 2 2"],
    shape: PairNetworkShape,
    width: float = WIDTH,
) -> Float[Tensor, " p"]:
    """-log sum_x p(x) exp(-|S(x) - S|^2 / 2 width^2), in nats; 0 where all probability is right.

    The likelihood of the true S under a mixture, each answer as wide as its bin. Tried and
    absent: the divergence from a target of that width, which asks for the target's shape more
    than for its place, and is least for networks that are sure of nothing.
    """
    near = logits + similarities(blocks, shape) / (2.0 * width**2)
    return logits.flatten(1).logsumexp(dim=1) - near.flatten(1).logsumexp(dim=1)
