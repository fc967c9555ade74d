"""When to stop asking the encoder and give each particle its own pose.

CryoSPIN leaves the moment open and fixes an epoch. Here the question is put to images that are
held out: where would each end if the switch came now? Their candidates are polished as the
second stage would, and compared with where they ended at the last check. While the encoder
still finds new places for images, waiting pays; once it does not, the second stage is cheaper.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.poses import Assignment


@dataclass(frozen=True)
class Check:
    """What one look at held-out images found.

    gain: mean log-likelihood over that of an empty map, after polishing. settled: share of
    images that ended within `SwitchRule.near_degrees` of where the last check left them.
    """

    step: int
    gain: float
    settled: float


@dataclass(frozen=True)
class SwitchRule:
    """Switch when nearly all images have settled, or when no more of them do.

    every: steps between checks. enough: share of settled images that is nearly all.
    patience, more_settled, more_gain: the wait ends when over so many checks neither the best
        share of settled images has grown by `more_settled` nor the best gain by that fraction.
    """

    every: int = 100
    near_degrees: float = 10.0
    enough: float = 0.9
    patience: int = 5
    more_settled: float = 0.02
    more_gain: float = 0.01
    most_steps: int = 4000

    def says(self, checks: list[Check], march: int) -> bool:
        """Whether to switch; never before the radius has reached its end."""
        last = checks[-1]
        if last.step < march:
            return False
        if last.step >= self.most_steps or last.settled >= self.enough:
            return True
        late = [check for check in checks if check.step >= march]
        before, recent = late[: -self.patience], late[-self.patience :]
        if not before:
            return False
        settled = max(c.settled for c in recent) - max(c.settled for c in before)
        best = max(c.gain for c in before)
        gained = max(c.gain for c in recent) - best
        return settled < self.more_settled and gained < self.more_gain * abs(best)


def settled_share(
    before: Assignment,
    now: Assignment,
    operators: Float[Tensor, "s 3 3"],
    near_degrees: float,
) -> float:
    """Share of images whose pose turned by less than `near_degrees`, modulo the symmetry."""
    mates = now.rotations[:, None] @ operators
    cosine = (torch.einsum("nij,nsij->ns", before.rotations, mates).amax(dim=1) - 1) / 2
    threshold = float(torch.cos(torch.deg2rad(torch.tensor(near_degrees))))
    return float((cosine > threshold).float().mean())
