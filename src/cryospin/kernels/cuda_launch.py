"""How the Triton programs are launched: how much each takes, and tensors as they walk them."""

from __future__ import annotations

import torch
from torch import Tensor

# Coefficients a program takes at once, and the warps it takes them with: four to a thread. A
# pose's 21 sums are kept for each coefficient of a block; more threads wait more at their end.
BLOCK, WARPS = 128, 1


def blocks_of(length: int) -> int:
    return -(-length // BLOCK)


def words_of(tensor: Tensor) -> Tensor:
    """Complex numbers as words of 64 bits; rows may be apart, as those of a prefix are."""
    return rows_of(tensor.resolve_conj()).view(torch.int64)


def rows_of(tensor: Tensor) -> Tensor:
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def scaled(rotations: Tensor, oversampling: int) -> Tensor:
    return (rotations * oversampling).contiguous()
