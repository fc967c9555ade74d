"""Shells of the points of a Fourier volume, and means over them."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.kernels import OVERSAMPLING
from cryospin.parallel import CPU


@lru_cache(maxsize=8)
def shells_of_volume(
    margin: int, oversampling: int = OVERSAMPLING, device: torch.device = CPU
) -> Float[Tensor, "z y x"]:
    """|k| in Fourier pixels of the box at each point of a Fourier volume; not to be written to."""
    axis = torch.arange(-margin, margin + 1, dtype=torch.float32, device=device)
    x = torch.arange(0, margin + 1, dtype=torch.float32, device=device)
    square = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + x[None, None, :] ** 2
    return square.sqrt() / oversampling


def shell_means(values: Float[Tensor, "z y x"], shells: int) -> Float[Tensor, " s"]:
    """Mean of a quantity over each shell of the box."""
    index, population = _shell_index(values.shape[-1] - 1, values.device)
    total = torch.zeros(len(population), dtype=torch.float64, device=values.device)
    total.index_add_(0, index, values.reshape(-1).double())
    return (total / population)[:shells].to(values.dtype)


@lru_cache(maxsize=8)
def _shell_index(margin: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The nearest shell of each point, flat, and the number of points of each shell."""
    index = shells_of_volume(margin, device=device).round().long().reshape(-1)
    shells = int(3**0.5 * margin / OVERSAMPLING) + 2
    population = torch.zeros(shells, dtype=torch.long, device=device)
    population.index_add_(0, index, torch.ones_like(index))
    return index, population.clamp_min(1)
