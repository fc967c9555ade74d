"""What searches of one run share, and what each has of its own."""

from __future__ import annotations

import torch

from cryospin.explore.setting import Setting
from cryospin.rotations.symmetry import symmetry_group

SETTING = Setting(symmetry_group("D2").float(), 1.5, seed=7, shared_seed=7)


def test_every_start_has_a_seed_of_its_own_and_all_share_one() -> None:
    starts = [SETTING.of_start(half, attempt) for half in (1, 2) for attempt in range(4)]
    assert len({start.seed for start in starts}) == len(starts)
    assert {start.shared_seed for start in starts} == {7}
    # asked from a start, it is the run's again
    assert starts[0].of_start(2, 3).seed == SETTING.of_start(2, 3).seed


def test_without_symmetry_all_else_stays() -> None:
    plain = SETTING.asymmetric()
    assert torch.equal(plain.operators, torch.eye(3)[None])
    assert (plain.shift_range_pixel, plain.seed) == (1.5, 7)
