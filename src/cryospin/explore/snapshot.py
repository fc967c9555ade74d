"""What a training tells of itself at the end of each epoch, and how it stops when it must."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.errors import NOT_CONVERGED_CODE, CryospinError


@dataclass(frozen=True)
class Snapshot:
    """The state of things after an epoch.

    epoch: counted from 1 over all stages. seconds: since the start, without what watching cost.
    stage: "encoder" or "direct". rotations, shifts_pixel: the best pose of each particle of
        the half-set. usage: share of images each head won (empty in the direct stage).
    loss: mean negative log-likelihood of the epoch's images at their best poses.
    held_out_loss: the same for images the volume was not trained on.
    """

    epoch: int
    seconds: float
    stage: str
    rotations: Float[Tensor, "n 3 3"]
    shifts_pixel: Float[Tensor, "n 2"]
    usage: Float[Tensor, " m"]
    loss: float
    held_out_loss: float = float("nan")


Watch = Callable[[Snapshot], None]


class NonFiniteLossError(CryospinError):
    """Training met a loss that is no number; `last` is the state after the last good epoch."""

    exit_code = NOT_CONVERGED_CODE

    def __init__(self, stage: str, epoch: int, last: Snapshot | None):
        self.stage, self.epoch, self.last = stage, epoch, last
        since = (
            "no epoch was completed" if last is None else f"epoch {last.epoch} was the last good"
        )
        super().__init__(
            f"the loss became non-finite in the {stage} stage, epoch {epoch}; {since}\n"
            "  fix: another --seed, or a recipe without learning rates: --recipe exhaustive"
        )


class FiniteLosses:
    """Raises NonFiniteLossError for a loss that is no number, before the step that would write it
    into the parameters. On a card, which is not waited for at each step: some steps later."""

    def __init__(self, stage: str, epoch: int, last: Snapshot | None, together: int = 100):
        self._told, self._together = (stage, epoch, last), together
        self._finite: list[Tensor] = []

    def see(self, loss: Float[Tensor, " b"]) -> None:
        """Another step's."""
        self._finite.append(torch.isfinite(loss).all())
        if loss.device.type == "cpu" or len(self._finite) == self._together:
            self.settle()

    def settle(self) -> None:
        """Look at all that were seen."""
        if self._finite and not bool(torch.stack(self._finite).all()):
            raise NonFiniteLossError(*self._told)
        self._finite.clear()
