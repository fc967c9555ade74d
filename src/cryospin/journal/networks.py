"""All that training changes: weights, running statistics, and what Adam remembers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from cryospin.journal.tree import Tree


@runtime_checkable
class Network(Protocol):
    """What of `torch.nn.Module` is needed here."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> object: ...


def training_state(networks: Sequence[Network], optimiser: torch.optim.Optimizer) -> Tree:
    """The tensors themselves, not copies."""
    moments = [dict(optimiser.state.get(parameter, {})) for parameter in _parameters(optimiser)]
    return [dict(network.state_dict()) for network in networks], moments


def recall_training(
    networks: Sequence[Network], optimiser: torch.optim.Optimizer, state: Tree
) -> None:
    """Bring networks and optimiser to where others like them were.

    Moments take the memory layout of their parameters, as torch makes them: its fused update
    walks over both in the order of memory.
    """
    weights, moments = state
    for network, values in zip(networks, weights, strict=True):
        network.load_state_dict(values)
    optimiser.state.clear()
    for parameter, remembered in zip(_parameters(optimiser), moments, strict=True):
        if remembered:
            optimiser.state[parameter] = {
                name: torch.empty_like(parameter).copy_(value)
                if value.shape == parameter.shape
                else value.to(parameter.device)
                for name, value in remembered.items()
            }


def _parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]
