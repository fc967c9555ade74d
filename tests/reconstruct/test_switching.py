"""The moment to switch, on stories made up."""

from __future__ import annotations

import roma
import torch

from cryospin.poses import Assignment
from cryospin.reconstruct.switching import Check, SwitchRule, settled_share
from cryospin.rotations.symmetry import symmetry_group
from phantoms import random_turns

RULE = SwitchRule(every=1, patience=3, most_steps=50)


def switched(settled: list[float], gains: list[float] | None = None, march: int = 2) -> int:
    """The step at which the rule switches, or 0."""
    gains = gains or [100.0] * len(settled)
    checks: list[Check] = []
    for step, (share, gain) in enumerate(zip(settled, gains, strict=True), 1):
        checks.append(Check(step, gain, share))
        if RULE.says(checks, march):
            return step
    return 0


def test_settled_images_switch_but_not_before_the_radius_is_there() -> None:
    assert switched([0.95, 0.95, 0.95], march=3) == 3
    assert switched([0.5, 0.6, 0.92]) == 3


def test_waiting_pays_while_more_images_settle_or_gain() -> None:
    assert switched([0.5 + 0.01 * i for i in range(20)]) == 0
    assert switched([0.5] * 20, [100.0 + i for i in range(20)]) == 0


def test_waiting_ends_when_nothing_gets_better() -> None:
    # step 2 is the first that counts; three later ones without a better one end it
    assert switched([0.5] * 20) == 5
    creeping = [100.0 + 0.1 * i for i in range(20)]
    assert switched([0.5] * 20, creeping) == 5


def test_waiting_ends_at_the_last_step() -> None:
    settled = [0.3 + 0.0085 * i for i in range(60)]
    assert switched(settled) == RULE.most_steps


def test_settled_share_is_modulo_the_symmetry() -> None:
    operators = symmetry_group("C3").float()
    before = random_turns(9, 1).float()
    after = before @ operators[torch.arange(9) % 3]
    far = roma.rotvec_to_rotmat(torch.tensor([[0.5, 0.0, 0.0]])) @ before[:3]
    after[:3] = far

    def poses(rotations: torch.Tensor) -> Assignment:
        return Assignment.known(rotations, torch.zeros(len(rotations), 2))

    assert settled_share(poses(before), poses(after), operators, 10.0) == torch.tensor(6 / 9)
    assert settled_share(poses(before), poses(after), operators[:1], 10.0) < 0.5
